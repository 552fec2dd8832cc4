"""How a home gives out the rows of a run: a few ranges at a time, each as large as the pace of those before allows."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from ollama_mcp.fleet import tables
from ollama_mcp.simulator import Simulator
from ollama_mcp.store import Store
from ollama_mcp.store.batches import RowResult
from tests.fleet.postgres import Postgres
from tests.fleet.running import batch
from tests.fleet.workers import query
from tests.store.support import opened
from tests.support import until

UNFINISHED = "SELECT count(*) FROM ranges WHERE NOT done"
SIZES = "SELECT size FROM ranges ORDER BY no"


async def finished(store: Store, url: str, no: int, seconds_a_row: float) -> None:
    """Do a range as a worker does whose rows take so long."""
    ((run, job, size),) = query(url, "SELECT run, job, size FROM ranges WHERE no = %s", no)
    part = await store.database.run(partial(tables.take, run=run, no=no, job=job))
    assert part is not None
    numbers = list(range(part.first, part.last + 1))
    rows = [RowResult(number, b"{}", False) for number in numbers]
    await store.database.run(partial(tables.save, mine=part.mine, rows=rows, spent=0))
    done = {"counts": (0, 0), "spent": 0, "seconds": seconds_a_row * size, "notes": "[]"}
    assert await store.database.run(partial(tables.finish, mine=part.mine, numbers=numbers, **done))


@pytest.mark.parametrize(("seconds_a_row", "grows"), [(1.0, True), (10.0, False)])
async def test_eight_ranges_are_given_out_and_the_next_takes_less_than_a_minute(
    seconds_a_row: float, grows: bool, simulator: Simulator, tmp_path: Path, database_server: Postgres
) -> None:
    url = database_server.url()
    query(url, "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() + interval '1 hour')")
    async with (
        opened(tmp_path / "other.sqlite3", url=url) as store,
        batch(simulator, url, tmp_path, rows=2_000) as running,
    ):
        # Those that a worker has at work and the next, until the first says how long a row takes.
        await running.until(UNFINISHED, lambda count: count == 3)
        await finished(store, url, 1, seconds_a_row)
        await running.until("SELECT count(*) FROM ranges", lambda count: count == 9)
        for no in range(2, 10):
            await finished(store, url, no, seconds_a_row)
        await running.until("SELECT count(*) FROM ranges", lambda count: count == 17)
        assert query(url, UNFINISHED) == [(8,)]
        sizes = [size for (size,) in query(url, SIZES)]
        assert min(sizes) >= 16 and (max(sizes) > 16) == grows
        assert not grows or 20 <= sizes[-1] * seconds_a_row <= 60
        running.task.cancel()
        await asyncio.wait({running.task})
        await until(lambda: query(url, "SELECT count(*) FROM ranges") == [(0,)], 60)
