"""Rows that sleep in place of a request, in a worker and in a plain loop: the processes that `bench.fleet` measures.

    python -m bench.fleet_rows worker OPTIONS
    python -m bench.fleet_rows loop DATABASE INPUT OUTPUT

Two cores cannot answer so many rows over HTTP. `BENCH_SLEEP` is the shortest and the longest time of a row in
milliseconds. Everything else in the worker is that of the command `worker`, whose options it takes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, LiteralString

from ollama_mcp.work.batch.processors import RowOutcome, RowProcessor
from ollama_mcp.work.batch.rows import InputRow, Record, RowSource

if TYPE_CHECKING:
    from ollama_mcp.work.batch.spec import BatchSpec
    from ollama_mcp.work.call_context import CallContext

LANES = 32
_FLUSH_ROWS, _FLUSH_SECONDS = 64, 0.5
_ANSWER = "an answer of some words; " * 8
_TABLE: LiteralString = "CREATE TABLE plain (row bigint PRIMARY KEY, record bytea NOT NULL)"
_KEEP: LiteralString = "INSERT INTO plain SELECT * FROM unnest(%s::bigint[], %s::bytea[])"
_PAGE: LiteralString = "SELECT row, record FROM plain WHERE row > %s ORDER BY row LIMIT 500"


def seconds_of(row: int) -> float:
    """How long a row takes: as good as random, and the same in each run."""
    least, most = map(float, os.environ.get("BENCH_SLEEP", "2 20").split())
    return (least + (most - least) * (row * 7_919 % 1_000) / 1_000) / 1_000


async def work_on(row: int) -> bytes:
    """The record of a row, after its time."""
    await asyncio.sleep(seconds_of(row))
    return Record(output=_ANSWER, prompt_tokens=20, tokens=40).encode()


class SleepingProcessor:
    """Works on rows by sleeping; see `RowProcessor`."""

    rows_per_request = 1

    def __init__(self, model: str) -> None:
        self.model = model
        self.notes: list[str] = []

    async def process(self, rows: Sequence[InputRow]) -> list[RowOutcome]:
        """See `RowProcessor`."""
        return [RowOutcome(row, await work_on(row.number), tokens=(20, 40)) for row in rows]


async def _prepare(call: CallContext, spec: BatchSpec, source: RowSource, total: int) -> RowProcessor:
    return SleepingProcessor(spec.model or "")


def _worker(arguments: Sequence[str]) -> int:
    from ollama_mcp.cli import main
    from ollama_mcp.fleet import work

    work.prepare_processor = _prepare
    return main(["worker", *arguments])


async def _loop(database: str, given: str, output: str) -> float:
    """Work on each line of a file, keep its record in a table, write all records to another file: its seconds."""
    import psycopg

    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("DROP TABLE IF EXISTS plain")
        await connection.execute(_TABLE)
        begin = time.perf_counter()
        waiting: list[tuple[int, bytes]] = []
        is_due = asyncio.Event()

        async def flush() -> None:
            group = waiting.copy()
            waiting.clear()
            is_due.clear()
            if group:
                await connection.execute(_KEEP, ([row for row, _ in group], [record for _, record in group]))

        async def keep() -> None:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(is_due.wait(), _FLUSH_SECONDS)
                await flush()

        with open(given, encoding="utf-8") as stream:  # noqa: ASYNC230 - as a plain loop does
            lines = enumerate(stream, start=1)

            async def lane() -> None:
                for row, line in lines:
                    json.loads(line)
                    waiting.append((row, await work_on(row)))
                    if len(waiting) >= _FLUSH_ROWS:
                        is_due.set()

            keeping = asyncio.create_task(keep())
            await asyncio.gather(*(lane() for _ in range(LANES)))
            keeping.cancel()
            await asyncio.wait({keeping})
            await flush()
        await _write(connection, output)
        return time.perf_counter() - begin


async def _write(connection: Any, output: str) -> None:
    last = 0
    with open(output, "w", encoding="utf-8") as stream:  # noqa: ASYNC230 - as a plain loop does
        while page := await (await connection.execute(_PAGE, (last,))).fetchall():
            for row, record in page:
                stream.write(json.dumps({"row": row, **json.loads(record)}) + "\n")
            last = page[-1][0]


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        sys.exit(_worker(sys.argv[2:]))
    print(asyncio.run(_loop(*sys.argv[2:])))
