"""What the home of a run and its workers say to each other through the database: who owns a range, and until when."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.fleet import tables
from ollama_mcp.fleet.sweep import sweep
from ollama_mcp.fleet.tables import RangeLost
from ollama_mcp.store import Store
from ollama_mcp.store.batches import RowResult
from ollama_mcp.store.sql import Connection
from tests.fleet.postgres import Postgres
from tests.store.support import begun, opened

ROWS = b'[[0, ""], [1, ""]]'
DONE: dict[str, Any] = {"counts": (3, 4), "spent": 7, "seconds": 1.5, "notes": '["A note."]'}


def _rows(connection: Connection, statement: str) -> list[Any]:
    return connection.execute(statement).fetchall()


class Run:
    """A run of a batch in a store, for the functions of `tables`."""

    def __init__(self, store: Store, number: int) -> None:
        self._store, self.number = store, number

    async def does(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a function on the database, as home and workers do."""
        return await self._store.database.run(lambda connection: function(connection, *arguments, **options))

    async def fed(self, no: int = 1, numbers: tuple[int, ...] = (0, 1)) -> bool:
        """Give out a range; whether the run takes any."""
        given = {"no": no, "numbers": numbers, "rows": ROWS, "fed": numbers[-1]}
        return await self.does(tables.feed, run=self.number, turn=0, **given) is not None

    async def rows_of(self, statement: str) -> list[Any]:
        """What a statement gives."""
        return await self.does(_rows, statement)

    async def jobs(self) -> list[int]:
        """The jobs in the queue, oldest first."""
        return [job for (job,) in await self.rows_of("SELECT id FROM procrastinate_jobs ORDER BY id")]

    async def taken(self, job: int) -> tables.Range | None:
        """The range, as a worker that fetched the job sees it."""
        return await self.does(tables.take, self.number, 1, job)

    async def status(self) -> tables.Status:
        """How far it is."""
        return await self.does(tables.status, run=self.number)


@pytest.fixture
async def run(tmp_path: Path, database_server: Postgres) -> AsyncGenerator[Run]:
    """A run that has begun, with one range given out."""
    async with opened(tmp_path / "s.sqlite3", url=database_server.url()) as store:
        found = Run(store, (await begun(store)).id)
        assert await found.does(tables.begin, run=found.number, task="task") == (0, 0)
        assert await found.fed()
        yield found


async def test_a_range_is_one_jobs_until_it_is_done(run: Run) -> None:
    (job,) = await run.jobs()
    part = await run.taken(job)
    assert part is not None and (part.first, part.last, part.rows, part.task) == (0, 1, ROWS, "task")
    assert await run.taken(job + 1) is None
    await run.does(tables.set_out, part.mine)
    finish = partial(run.does, tables.finish, mine=part.mine, numbers=[0, 1], **DONE)
    await run.does(tables.save, part.mine, [RowResult(0, b"{}", False)], spent=5)
    # As soon as rows are kept, and not with the end of the range.
    assert (await run.status()).spent == 5
    assert not await finish() and (await run.status()).unfinished == 1
    new, recovered = await run.does(tables.save, part.mine, [RowResult(0, b"x", False), RowResult(1, b"{}", True)], 8)
    assert ([row.row for row in new], recovered) == ([1], 0)
    new, recovered = await run.does(tables.save, part.mine, [RowResult(1, b"{}", False)], 9)
    assert (new, recovered) == ([], 1)
    again = await run.taken(job)
    assert again is not None and again.spent == 9
    assert await finish(spent=11)
    status = await run.status()
    assert (status.state, status.unfinished, status.kept, status.largest) == ("running", 0, 2, 2)
    # What a range that lacked rows had cost counts too.
    assert (status.read, status.written, status.spent) == (6, 8, 11)
    assert await run.taken(job) is None
    with pytest.raises(RangeLost):
        await run.does(tables.save, part.mine, [RowResult(0, b"late", False)], 0)
    assert await run.does(tables.forget, run=run.number) == ["A note."]
    assert not (await run.status()).state


async def test_what_was_given_out_is_not_given_out_again(run: Run) -> None:
    jobs = await run.jobs()
    assert await run.fed() and await run.jobs() == jobs
    assert await run.does(tables.begin, run=run.number, task="task") == (1, 1)
    assert await run.does(tables.feed, run=run.number, no=2, numbers=(), rows=b"", fed=9, turn=0) is not None
    assert await run.does(tables.begin, run=run.number, task="task") == (9, 1)
    assert await run.jobs() == jobs


async def test_another_task_begins_anew(run: Run) -> None:
    (job,) = await run.jobs()
    assert await run.does(tables.begin, run=run.number, task="another") == (0, 0)
    assert await run.taken(job) is None and not await run.jobs() and not (await run.status()).unfinished


async def test_who_gave_a_range_back_owns_it_no_longer(run: Run) -> None:
    (job,) = await run.jobs()
    part = await run.taken(job)
    assert part is not None
    await run.does(tables.give_back, part.mine, delay=0.0)
    for late in (
        partial(run.does, tables.set_out, part.mine),
        partial(run.does, tables.place, part.mine, 0),
        partial(run.does, tables.save, part.mine, [RowResult(0, b"{}", False)], 0),
        partial(run.does, tables.finish, part.mine, [0], **DONE),
        partial(run.does, tables.give_back, part.mine, delay=0.0),
    ):
        with pytest.raises(RangeLost):
            await late()
    await run.does(tables.stop, part.mine, reason="late")
    status = await run.status()
    assert (status.state, status.reason, status.kept) == ("running", None, 0)
    again = await run.taken((await run.jobs())[-1])
    assert again is not None and (again.returns, again.deaths) == (1, 0)


@pytest.mark.parametrize("how", ["cancelled", "stopped", "removed"])
async def test_a_run_that_has_ended_takes_and_gives_nothing(run: Run, how: str) -> None:
    (job,) = await run.jobs()
    part = await run.taken(job)
    assert part is not None
    await run.does(tables.save, part.mine, [], spent=6)
    if how == "cancelled":
        assert await run.does(tables.cancel, run=run.number) == 6
        assert await run.does(tables.cancel, run=run.number) == 0
    elif how == "stopped":
        await run.does(tables.stop, part.mine, reason="why")
    else:
        await run.rows_of("DELETE FROM runs RETURNING id")
    status = await run.status()
    assert (status.state, status.reason) == ("" if how == "removed" else how, "why" if how == "stopped" else None)
    assert not await run.fed(2, (2, 3)) and await run.taken(job) is None
    with pytest.raises(RangeLost):
        await run.does(tables.save, part.mine, [RowResult(0, b"{}", False)], 0)


async def test_a_range_whose_job_is_gone_gets_another_and_nobody_died(run: Run) -> None:
    (job,) = await run.jobs()
    assert await run.does(sweep, 60.0) == []
    await run.rows_of("DELETE FROM procrastinate_jobs RETURNING id")
    assert await run.does(sweep, 60.0, own=[job]) == []
    ((_, no, state, died, marked),) = await run.does(sweep, 60.0)
    assert (no, state, died, marked) == (1, None, False, 0)
    part = await run.taken((await run.jobs())[0])
    assert part is not None and part.deaths == 0
    assert await run.taken(job) is None
