"""How a worker keeps the rows of a range: many with one write, and none after the range is another's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ollama_mcp.fleet import tables
from ollama_mcp.fleet.ranges import RangeRun
from ollama_mcp.fleet.sweep import ALONE
from ollama_mcp.fleet.tables import Range, RangeLost
from ollama_mcp.store import Store
from ollama_mcp.store.patient import PatientDatabase
from ollama_mcp.store.sql import Connection
from tests.fleet.postgres import Postgres
from tests.store.support import begun, fill, opened

T = TypeVar("T")
ROWS = tuple(range(1, 101))


class CountingDatabase(PatientDatabase):
    """A database; `writes` is how often it was asked for something."""

    writes = 0

    async def run(self, work: Callable[[Connection], T]) -> T:
        """See `PatientDatabase`."""
        self.writes += 1
        return await super().run(work)


class Taken:
    """A range that a worker has taken, of a run in a store."""

    def __init__(self, store: Store, run: int) -> None:
        self.store, self.run = store, run
        self.database = CountingDatabase(store.database)

    async def does(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a function on the database."""
        return await self.store.database.run(lambda connection: function(connection, *arguments, **options))

    async def part(self) -> Range:
        """The range, as its worker sees it."""
        ((job,),) = await self.does(partial(_all, "SELECT job FROM ranges"))
        found = await self.does(tables.take, self.run, 1, job)
        assert found is not None
        return found

    async def kept(self) -> list[int]:
        """The rows that have a record."""
        return [row for (row,) in await self.does(partial(_all, "SELECT row FROM records ORDER BY row"))]


def _all(statement: str, connection: Connection) -> list[Any]:
    return connection.execute(statement).fetchall()


@pytest.fixture
async def taken(tmp_path: Path, database_server: Postgres) -> AsyncGenerator[Taken]:
    """A range of a hundred rows, two of which are kept already."""
    async with opened(tmp_path / "s.sqlite3", url=database_server.url()) as store:
        batch = await begun(store)
        await fill(batch, range(3, 5))
        found = Taken(store, batch.id)
        await found.does(tables.begin, run=batch.id, task="task")
        await found.does(tables.feed, run=batch.id, no=1, numbers=ROWS, rows=b"[]", fed=100, turn=0)
        yield found


async def test_rows_that_are_done_one_after_another_share_a_write(taken: Taken) -> None:
    part = await taken.part()
    checkpoint = RangeRun(taken.database, part, ROWS, [0])
    assert checkpoint.to_do == 98 and await checkpoint.missing(1, 6) == [1, 2, 5, 6]
    for row in await checkpoint.missing(1, 30):
        await checkpoint.save(row, b"{}", error=False)
    await checkpoint.settled()
    assert await taken.kept() == list(range(1, 31))
    # One that waited for each row would have written 28 times.
    assert taken.database.writes <= 3
    assert (await taken.does(tables.status, run=taken.run)).kept == 28


async def test_a_range_that_is_lost_is_told_to_who_saves_and_who_waits(taken: Taken) -> None:
    part = await taken.part()
    checkpoint = RangeRun(taken.database, part, ROWS, [0])
    await taken.does(tables.give_back, part.mine, delay=0.0)
    await checkpoint.save(1, b"{}", error=False)
    with pytest.raises(RangeLost):
        await checkpoint.settled()
    with pytest.raises(RangeLost):
        await checkpoint.save(2, b"{}", error=False)
    assert await taken.kept() == [3, 4]


async def test_rows_that_are_asked_one_by_one_are_kept_one_by_one(taken: Taken) -> None:
    await taken.does(partial(_all, f"UPDATE ranges SET deaths = {ALONE} RETURNING 1"))
    checkpoint = RangeRun(taken.database, await taken.part(), ROWS, [0])
    for row in (1, 2):
        await checkpoint.save(row, b"{}", error=False)
        assert row in await taken.kept()
