"""What the commands that show, delete and copy the store do with batches whose rows workers have."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ollama_mcp.fleet import tables
from ollama_mcp.store import Store
from ollama_mcp.store.batches import RowResult
from ollama_mcp.store.copying import copy_store
from tests.cli.support import run
from tests.fleet.postgres import Postgres
from tests.fleet.workers import query
from tests.store.support import begun, fill, opened

LONG_AGO = "UPDATE runs SET touched = extract(epoch FROM now())::bigint - 10000"


async def given_out(store: Store, key: str) -> int:
    """A batch of ten rows, two of them kept, with one range at workers; returns its number."""
    batch = await begun(store, key, 10)
    await fill(batch, range(2))
    await store.database.run(partial(tables.begin, run=batch.id, task="{}"))
    return batch.id


async def feed(store: Store, run: int) -> None:
    """Give out a range."""
    await store.database.run(partial(tables.feed, run=run, no=1, numbers=(3, 4, 5), rows=b"[rows]", fed=5, turn=0))


@pytest.mark.slow
async def test_a_batch_at_workers_is_shown_and_not_deleted(database_server: Postgres, tmp_path: Path) -> None:
    url = database_server.url()
    store = Store(tmp_path / "s.sqlite3", url=url)
    given = {"OLLAMA_MCP_STORE__URL": url, "OLLAMA_MCP_STORE__PATH": str(tmp_path / "s.sqlite3")}
    try:
        await feed(store, await given_out(store, "at workers"))
        await begun(store, "left")
        # However long ago they were begun.
        query(url, LONG_AGO)
        shown = await run("store", "show", **given)
        said = [" ".join(line.replace("|", " ").split()) for line in shown.out.splitlines()]
        assert {"unfinished batches 2", "batches at workers 1", "ranges at workers 1 6 B"} <= set(said), shown
        purged = await run("store", "purge", **given)
        assert "Kept: 1 batches whose rows workers have; ollama_job cancels them." in purged.out, purged
        assert "1 unfinished batches" in purged.out and "within two hours" not in purged.out, purged
        assert [one.key for one in await store.batches.unfinished()] == ["at workers"]
        assert query(url, "SELECT (SELECT count(*) FROM ranges), (SELECT count(*) FROM records)") == [(1, 2)]
    finally:
        await store.aclose()


async def test_a_batch_at_workers_is_left_by_a_copy(database_server: Postgres, tmp_path: Path) -> None:
    url = database_server.url()
    async with opened(tmp_path / "old.sqlite3") as old:
        for key in ("at workers", "left"):
            await fill(await begun(old, key, 10), range(5))
    store = Store(tmp_path / "s.sqlite3", url=url)
    try:
        number = await given_out(store, "at workers")
        await feed(store, number)
        copied = copy_store(tmp_path / "old.sqlite3", url, running=())
        assert (copied.batches_left, copied.counts["rows of batches"]) == (1, 5)
        # Once workers have nothing of it any more, the rest comes.
        await store.database.run(partial(tables.cancel, run=number))
        copied = copy_store(tmp_path / "old.sqlite3", url, running=())
        assert (copied.batches_left, copied.counts["rows of batches"]) == (0, 3)
    finally:
        await store.aclose()


async def test_a_batch_that_is_given_out_is_in_use(database_server: Postgres, tmp_path: Path) -> None:
    url = database_server.url()
    store = Store(tmp_path / "s.sqlite3", url=url)
    try:
        number = await given_out(store, "long")
        query(url, LONG_AGO)
        await feed(store, number)
        assert query(url, "SELECT extract(epoch FROM now()) - touched < 600 FROM runs") == [(True,)]
    finally:
        await store.aclose()


async def test_rows_of_a_run_that_is_no_longer_kept_are_those_of_a_lost_range(
    database_server: Postgres, tmp_path: Path
) -> None:
    store = Store(tmp_path / "s.sqlite3", url=database_server.url())
    try:
        number = await given_out(store, "ended")
        await (await begun(store, "ended", 10)).remove()
        late = partial(tables.save, mine=(number, 1, 1), rows=[RowResult(3, b"late", error=False)], spent=0)
        with pytest.raises(tables.RangeLost):
            await store.database.run(late)
    finally:
        await store.aclose()
