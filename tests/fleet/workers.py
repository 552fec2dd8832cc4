"""Workers as processes of their own, and batches whose rows they work on."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from ollama_mcp.store.postgres_schema import SCHEMA
from tests.cli.support import environment
from tests.work.batch.batching import settings_of

LOST_SECONDS = 3.0


class WorkerProcess:
    """A worker; `said` is what it wrote on stderr."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []
        self.ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.said.append(line.decode())
            if "takes rows" in self.said[-1]:
                self.ready.set()
        self.ready.set()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self, seconds: float = 60) -> int:
        """Its exit code, once it has ended."""
        code = await asyncio.wait_for(self.process.wait(), seconds)
        await self._reading
        return code

    async def kill(self) -> None:
        """End it as the system does when memory runs out."""
        self.signal(signal.SIGKILL)
        await self.ended()


@asynccontextmanager
async def worker(
    host: str, url: str, *arguments: str, lost_seconds: float = LOST_SECONDS, **settings: Any
) -> AsyncGenerator[WorkerProcess]:
    """A worker on a store and an Ollama; keywords are settings by their whole names."""
    chosen = {
        "store.url": url,
        "fleet.lost_seconds": lost_seconds,
        **{k.replace("__", "."): v for k, v in settings.items()},
    }
    sets = [part for name, value in chosen.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ollama_mcp", "worker", *sets, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment(OLLAMA_HOST=host),
    )
    running = WorkerProcess(process)
    try:
        await asyncio.wait_for(running.ready.wait(), 60)
        yield running
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                running.signal(signal.SIGCONT)
                running.signal(signal.SIGTERM)
            try:
                await running.ended(20)
            except TimeoutError:
                await running.kill()
        else:
            await running.ended()


def shared(folder: Path, url: str, *, lost_seconds: float = LOST_SECONDS, **settings: Any) -> dict[str, Any]:
    """Settings of a server that shares its store with workers, for a folder that it may read and write."""
    return {**settings_of(folder, folder), "store": {"url": url}, "fleet": {"lost_seconds": lost_seconds}, **settings}


def input_of(folder: Path, texts: Sequence[str]) -> Path:
    """A file whose lines are rows."""
    file = folder / "in.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return file


def query(url: str, statement: str, *values: Any) -> list[Any]:
    """What a statement on the store gives."""
    # By a pooler too.
    with psycopg.connect(url, prepare_threshold=None) as connection:
        connection.execute(f"SET LOCAL search_path TO {SCHEMA}")
        found = connection.execute(statement, values)  # pyright: ignore[reportArgumentType]
        return found.fetchall() if found.description else []


async def until_alive(url: str, number: int, seconds: float = 60) -> None:
    """Wait until so many workers have shown a sign of life."""
    deadline = time.monotonic() + seconds
    while True:
        ((alive,),) = await asyncio.to_thread(query, url, "SELECT count(*) FROM procrastinate_workers")
        if alive >= number:
            return
        assert time.monotonic() < deadline, "no worker"
        await asyncio.sleep(0.1)
