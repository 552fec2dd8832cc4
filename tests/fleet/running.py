"""A batch that runs on workers while things go wrong, and the file that one process alone writes for it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp.types import CallToolResult

from ollama_mcp.simulator import Fault, Simulator
from tests.fleet.workers import input_of, query, shared
from tests.support import connected, data
from tests.work.batch.batching import MODEL, settings_of

KEPT = "SELECT coalesce(sum(kept), 0) FROM ranges"


@dataclass
class Running:
    """A batch at work.

    Args:
        url: Its store.
        simulator: The Ollama of its workers.
        folder: Where its files lie.
        ask: The arguments of its call.
        task: Its call.
        rows: How many it has.
    """

    url: str
    simulator: Simulator
    folder: Path
    ask: dict[str, Any]
    task: asyncio.Task[Any]
    rows: int

    async def until(self, statement: str, true: Callable[[Any], bool], seconds: float = 60) -> None:
        """Wait until what a statement on the store gives is as wanted."""
        deadline = time.monotonic() + seconds
        while not true((await asyncio.to_thread(query, self.url, statement))[0][0]):
            assert time.monotonic() < deadline, "did not come true in time"
            if self.task.done():
                raise AssertionError(f"the batch has ended: {self.task.result()}")
            await asyncio.sleep(0.05)

    async def until_kept(self, rows: int) -> None:
        """Wait until so many rows are kept."""
        await self.until(KEPT, lambda kept: kept >= rows)

    async def ended(self, seconds: float = 90) -> dict[str, Any]:
        """Its report, once it has ended and nothing is left of it, the store's only run, but the file."""
        report = data(await asyncio.wait_for(self.task, seconds))
        assert nothing_left(self.url)
        return report

    async def alone(self) -> list[dict[str, Any]]:
        """The rows of the file that one process writes."""
        async with (
            Simulator(version="latest", num_parallel=16) as other,
            connected(other.url, **settings_of(self.folder, self.folder)) as client,
        ):
            asked = {**self.ask, "output": str(self.folder / "alone.jsonl")}
            data(await client.call_tool("ollama_batch", asked))
        return rows_of(self.folder / "alone.jsonl")

    def written(self) -> list[dict[str, Any]]:
        """The rows of its file."""
        return rows_of(self.folder / "out.jsonl")


def nothing_left(url: str) -> bool:
    """Whether a store has no run any more, and no range of one."""
    return query(url, "SELECT (SELECT count(*) FROM ranges), (SELECT count(*) FROM fleet_runs)") == [(0, 0)]


def rows_of(file: Path) -> list[dict[str, Any]]:
    """The rows of an output file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@asynccontextmanager
async def simulated(seconds: float = 0.03) -> AsyncGenerator[Simulator]:
    """An Ollama whose every answer takes some time."""
    slow = Fault("delay", path="/api/chat", seconds=seconds)
    async with Simulator(version="latest", num_parallel=64, faults=[slow]) as simulator:
        yield simulator


@asynccontextmanager
async def batch(
    simulator: Simulator,
    url: str,
    folder: Path,
    *,
    rows: int = 600,
    texts: list[str] | None = None,
    begun: bool = False,
    output: str = "out.jsonl",
) -> AsyncGenerator[Running]:
    """A batch whose workers are alive, or the same call once more (`begun`); at the end its call is over."""
    texts = texts or [f"text number {n}" for n in range(rows)]
    given = folder / "in.jsonl" if begun else input_of(folder, texts)
    ask = {
        "input": [str(given)],
        "prompt": "Say {text}",
        "model": MODEL,
        "options": {"num_predict": 16, "seed": 1},
        "output": str(folder / output),
    }
    # No call becomes a job.
    async with connected(simulator.url, jobs={"call_seconds": 3_600}, **shared(folder, url)) as client:

        async def asked() -> CallToolResult:
            # The call before may still be ending.
            while (result := await client.call_tool("ollama_batch", ask)).is_error and begun:
                if "[busy]" not in str(result.content):
                    break
                await asyncio.sleep(0.1)
            return result

        task = asyncio.create_task(asked())
        try:
            yield Running(url, simulator, folder, ask, task, len(texts))
        finally:
            task.cancel()
            await asyncio.wait({task})
