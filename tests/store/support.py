"""What tests of the store share: other processes, and looks into the file that no store gives."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

from ollama_mcp.store import BatchRun, Store

ROOT = Path(__file__).resolve().parents[2]
_HEAD = "import asyncio, sys\nfrom pathlib import Path\nfrom ollama_mcp.store import Store\n"


@asynccontextmanager
async def opened(path: Path | None, **options: Any) -> AsyncGenerator[Store]:
    """A store that is closed at the end of the block."""
    store = Store(path, **options)
    try:
        yield store
    finally:
        await store.aclose()


async def begun(store: Store, key: str = "key", total: int | None = None) -> BatchRun:
    """A run of a batch."""
    return await store.batches.open(key, total=total, metadata={})


async def fill(run: BatchRun, rows: range, size: int = 100) -> None:
    """Save rows that succeeded, each with its number and as many bytes."""
    for row in rows:
        await run.save(row, record(row, size), error=False)


def record(row: int, size: int = 100) -> bytes:
    """What `fill` saves of a row."""
    return f"row {row};".encode().ljust(size, b".")


async def rows_of(run: BatchRun) -> list[tuple[int, bytes, bool]]:
    """All records of a run."""
    return [(row.row, row.record, row.error) async for row in run.records()]


def query(path: Path, statement: str, *values: object) -> list[Any]:
    """Run a statement on the file, beside whoever uses it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def files_in(folder: Path) -> list[str]:
    """The names of the files of a folder."""
    return sorted(file.name for file in folder.iterdir())


def is_there(path: Path) -> bool:
    """Whether anything lies at a path."""
    return path.exists()


def bytes_in(folder: Path) -> list[bytes]:
    """What is in each of the files of a folder."""
    return [file.read_bytes() for file in folder.iterdir()]


@contextmanager
def child(code: str, *arguments: object) -> Generator[subprocess.Popen[str]]:
    """Another process that runs code with `Store`, `asyncio`, `sys` and `Path` at hand; it is dead after the block."""
    command = [sys.executable, "-c", _HEAD + code, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str]) -> str:
    """What a process wrote until its end, which has to be a good one."""
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out
