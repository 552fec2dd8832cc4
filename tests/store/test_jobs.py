"""Jobs in the file: who owns them, how long they are kept, and what an older file becomes."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from ollama_mcp.errors import DiskError
from ollama_mcp.store import Store
from ollama_mcp.store.jobs import JobUpdate, KeepLimits, StoredJob
from ollama_mcp.store.processes import ProcessIdentity, has_ended, this_process
from ollama_mcp.store.tables import APPLICATION_ID, MIGRATIONS
from tests.cli.support import run
from tests.store.support import Place, begun, bytes_in, fill, is_there, opened, query

KEEP = KeepLimits(seconds=3_600, cut_seconds=60, count=3, bytes=1_000)


def job(name: str, text: str = "") -> StoredJob:
    return StoredJob(name, "ollama_chat", "m", "local", None, "digest", False, text=text)


async def ended(store: Store, name: str, text: str = "") -> None:
    stored = job(name)
    await store.jobs.add(stored)
    stored.state, stored.text = "done", text
    assert await store.jobs.end(stored, KEEP)


async def names(store: Store) -> list[str]:
    return [stored.id for stored in await store.jobs.listed("local")]


async def test_only_its_owner_writes_a_job(store: Store, place: Place) -> None:
    mine = job("a")
    await store.jobs.add(mine)
    async with opened(place) as other:
        (theirs,) = await other.jobs.running()
        assert await other.jobs.take(theirs)
        assert not await other.jobs.take(mine)
        assert (await store.jobs.update([JobUpdate("a", 1, "m", {}, "late")])).lost == {"a"}
        mine.state = "done"
        assert not await store.jobs.end(mine, KEEP)
        assert not (await other.jobs.update([JobUpdate("a", 2, "m", {}, "in time")])).lost
        found = await store.jobs.find("a")
        assert found is not None and (found.text, found.fence, found.state) == ("in time", 2, "running")


@pytest.mark.parametrize("text", ["", "x" * 400], ids=["number", "bytes"])
async def test_of_the_ended_jobs_the_newest_stay(store: Store, text: str) -> None:
    for name in "abcde":
        await ended(store, name, text)
    assert await names(store) == (["e", "d"] if text else ["e", "d", "c"])


async def test_what_is_too_old_goes_and_leaves_no_trace(file_store: Store, path: Path) -> None:
    await ended(file_store, "a", "SECRET" * 10)
    query(path, "UPDATE jobs SET touched = touched - 3601")
    await ended(file_store, "b")
    assert await names(file_store) == ["b"]
    await file_store.aclose()
    assert not any(b"SECRET" in content for content in bytes_in(path.parent))


def test_a_process_is_told_from_another_of_its_number() -> None:
    me = this_process()
    assert not has_ended(me)
    if sys.platform == "linux":
        assert has_ended(me._replace(born="1"))
        # It has ended, though its exit code has not been read.
        with subprocess.Popen(["true"], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None and child.stdout.read() == b""
            other = ProcessIdentity(me.machine, child.pid, "0")
            assert has_ended(other)
    assert not has_ended(ProcessIdentity("elsewhere", 1, "0"))


def older(path: Path, steps: int) -> None:
    """A store as an earlier version made it, with a batch in it."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in [statement for step in MIGRATIONS[:steps] for statement in step]:
            connection.execute(statement)
        connection.execute("INSERT INTO runs VALUES (1, 'key', 1, '{}', 4e9)")
        connection.execute("INSERT INTO records VALUES (1, 1, 0, x'00')")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={steps}")


async def test_an_older_file_is_copied_before_it_is_changed(path: Path) -> None:
    before = len(MIGRATIONS) - 1
    older(path, before)
    async with opened(path) as store:
        await ended(store, "a")
        assert (await begun(store)).done == 1
        (copy,) = store.copies()
    assert query(copy, "PRAGMA user_version") == [(before,)]
    assert query(copy, "SELECT count(*) FROM records") == [(1,)]
    assert os.name == "nt" or stat.S_IMODE(os.stat(copy).st_mode) == 0o600
    month = time.time() - 31 * 86_400
    os.utime(copy, (month, month))
    async with opened(path) as store:
        await begun(store)
        assert store.copies() == []


async def test_a_file_that_cannot_be_copied_stays_as_it_is(path: Path) -> None:
    before = len(MIGRATIONS) - 1
    older(path, before)
    os.mkdir(f"{path}.version-{before}.part")
    async with opened(path) as store:
        with pytest.raises(DiskError):
            await begun(store)
    assert query(path, "PRAGMA user_version") == [(before,)]


async def test_the_command_line_shows_and_deletes_what_is_kept(file_store: Store, path: Path) -> None:
    await ended(file_store, "a", "SECRET")
    await file_store.jobs.add(job("b"))
    await fill(await begun(file_store), range(3))
    await file_store.embeddings.put("m:0", [(b"text", b"0000")])
    option = f"--set=store.path={path}"
    shown = await run("store", "show", option)
    assert shown.code == 0 and str(path) in shown.out
    said = [" ".join(line.replace("|", " ").split()) for line in shown.out.splitlines()]
    kinds = {"running jobs 1", "ended jobs 1 6 B", "unfinished batches 1", "embeddings and words 1 4 B"}
    assert kinds <= set(said), said
    purged = await run("store", "purge", option)
    assert "Deleted: 1 jobs, 1 unfinished batches, 0 profiles, all embeddings" in purged.out, purged.err
    # Its process, which is this one, is still there.
    assert await names(file_store) == ["b"]
    assert await file_store.embeddings.get("m:0", [b"text"]) == {}
    assert query(path, "SELECT count(*) FROM records") == [(0,)]


async def test_the_command_line_makes_no_store(path: Path) -> None:
    shown = await run("store", "show", f"--set=store.path={path}")
    assert (shown.code, is_there(path.parent)) == (0, False) and "not there yet" in shown.out


async def test_what_a_connection_wrote_that_broke_off_is_written_again(store: Store) -> None:
    running = job("a")
    await store.jobs.add(running)
    # Its beginning was written, though nobody was told so, and then its end twice.
    again = job("a", "its text")
    again.state = "done"
    await store.jobs.add(again, KEEP)
    assert await store.jobs.end(again, KEEP)
    await store.jobs.add(again, KEEP)
    found = await store.jobs.find("a")
    assert found is not None and (found.state, found.text) == ("done", "its text")
    assert await names(store) == ["a"]
