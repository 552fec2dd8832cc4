"""What tests of the store share: other processes, and looks into the file that no store gives."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ollama_mcp.store import BatchRun, Store

ROOT = Path(__file__).resolve().parents[2]
_HEAD = """
import asyncio, sys
from pathlib import Path
from ollama_mcp.store import Store

def store_of(place):
    return Store(Path(place), url=place if "://" in place else "")
"""


@dataclass(frozen=True)
class Place:
    """Where a store is: a file, or a database beside a file for what is known of the files of this machine."""

    path: Path
    url: str = ""

    def __str__(self) -> str:
        return self.url or str(self.path)

    def made(self, **options: Any) -> Store:
        """A store there."""
        return Store(self.path, url=self.url, **options)

    def query(self, statement: str, *values: object) -> list[Any]:
        """Run a statement there, beside whoever uses it: to make what is kept older than it is."""
        if not self.url:
            return query(self.path, statement, *values)
        import psycopg

        with psycopg.connect(self.url) as connection:
            connection.execute("SET LOCAL search_path TO ollama_mcp")
            cursor = connection.execute(statement.replace("?", "%s").encode(), values)
            return cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def opened(where: Path | Place | None, **options: Any) -> AsyncGenerator[Store]:
    """A store that is closed at the end of the block."""
    store = _made(where, options)
    try:
        yield store
    finally:
        await store.aclose()


def _made(where: Path | Place | None, options: dict[str, Any]) -> Store:
    return where.made(**options) if isinstance(where, Place) else Store(where, **options)


async def begun(store: Store, key: str = "key", total: int | None = None) -> BatchRun:
    """A run of a batch."""
    return await store.batches.open(key, total=total, metadata={})


async def fill(run: BatchRun, rows: range, size: int = 100) -> None:
    """Save rows that succeeded, each with its number and as many bytes."""
    await asyncio.gather(*(run.save(row, record(row, size), error=False) for row in rows))


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
    """Another process that runs code, with what `_HEAD` names at hand; it is dead after the block."""
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
