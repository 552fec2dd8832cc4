"""The PostgreSQL database: its tables, what is said where it cannot be used, and that it may go and come back."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest
from mcp import Client

from ollama_mcp.cli.doctor.check import Check
from ollama_mcp.cli.doctor.database import check_database
from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.simulator import Simulator
from ollama_mcp.store import Store
from ollama_mcp.store.postgres_schema import VERSION, Version, check_version, upgrade
from ollama_mcp.store.postgres_state import connected, shared_secret, size_of, state_of, upgrade_at
from tests.cli.support import run
from tests.fleet.pgbouncer import pgbouncer
from tests.fleet.postgres import Postgres, postgres, renew
from tests.store.support import Place, begun, fill, opened, rows_of
from tests.support import error, served

NONE = Version(0, 0)


@pytest.fixture
def url(database: str) -> str:
    """A database with new tables."""
    renew(database)
    return database


@pytest.fixture
def empty(url: str) -> str:
    """A database without tables."""
    change(url, "DROP SCHEMA ollama_mcp CASCADE")
    return url


@pytest.fixture(scope="module")
def own_server() -> Generator[Postgres]:
    """A server that a test may stop."""
    with postgres() as server:
        yield server


def change(url: str, *statements: str) -> None:
    """Run statements as an administrator may."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def version_is(url: str, version: str) -> None:
    """Pretend that another version made the tables."""
    change(url, f"UPDATE ollama_mcp.meta SET value = '{version}' WHERE name = 'version'")


async def refusal(url: str, tmp_path: Path) -> DiskError:
    """What a batch is told."""
    async with opened(tmp_path / "s.sqlite3", url=url) as store:
        with pytest.raises(DiskError) as caught:
            await begun(store)
        return caught.value


def test_tables_are_made_once_and_keep_what_they_hold(empty: str) -> None:
    assert upgrade_at(empty) == NONE
    change(empty, "INSERT INTO ollama_mcp.models (digest) VALUES ('a')")
    assert upgrade_at(empty) == VERSION
    with connected(empty) as connection:
        assert connection.execute("SELECT count(*) FROM ollama_mcp.models").fetchone() == (1,)


def test_of_several_that_upgrade_at_once_one_does_it(empty: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        before = list(threads.map(upgrade_at, [empty] * 4))
    assert sorted(before) == [NONE, VERSION, VERSION, VERSION]


async def test_a_database_without_tables_says_how_they_are_made(empty: str, tmp_path: Path) -> None:
    error = await refusal(empty, tmp_path)
    assert "has no tables yet" in error.message and error.next_step and "store upgrade" in error.next_step


@pytest.mark.parametrize(("version", "said"), [("9.0", "store upgrade"), ("99.0", "Update this server")])
async def test_tables_of_another_version_are_refused(url: str, tmp_path: Path, version: str, said: str) -> None:
    version_is(url, version)
    error = await refusal(url, tmp_path)
    assert f"is of version {version}" in error.message and error.next_step and said in error.next_step
    assert state_of(url).tables is not None


def test_tables_of_a_newer_version_are_not_upgraded(url: str) -> None:
    version_is(url, "99.0")
    with pytest.raises(DiskError, match="newer"):
        upgrade_at(url)


async def test_a_server_says_early_that_the_tables_are_missing_and_goes_on_when_they_are_there(
    empty: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ollama_mcp.store.postgres._AWAY_SECONDS", 0.0)
    async with opened(tmp_path / "s.sqlite3", url=empty) as store:
        store.warn_early()
        store.usage.count("m", cloud=False, prompt_tokens=1, tokens=1, file_tokens=0, seconds=1.0)
        assert (await store.usage.totals()).all_time.local_total.calls == 1
        (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert "has no tables yet" in said and "store upgrade" in said
        upgrade_at(empty)
        await fill(await begun(store), range(3))
        assert "can be used again" in caplog.text
    # What was counted meanwhile was not lost.
    async with opened(tmp_path / "s.sqlite3", url=empty) as store:
        assert (await store.usage.totals()).all_time.local_total.calls == 1


def test_what_the_database_says_of_itself(url: str) -> None:
    state = state_of(url)
    assert (state.pooled, state.hears, state.tables) == (False, True, None)
    assert abs(state.ahead) < 60 and int(state.server.split(".")[0]) >= 13
    assert size_of(url) > 100_000


def test_the_secret_of_all_servers_is_made_once(url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(shared_secret, [url] * 4))
    assert len(found) == 1 and len(found.pop()) == 32


def test_a_server_that_is_too_old_is_refused(empty: str) -> None:
    class Old:
        """A connection to a server of another time."""

        class info:
            server_version = 120_022

    with pytest.raises(DiskError, match="version 12") as caught:
        upgrade(Old(), empty)  # pyright: ignore[reportArgumentType]
    assert caught.value.next_step == "Use 13 or later."
    with pytest.raises(DiskError, match="version 12"):
        check_version(Old(), empty)  # pyright: ignore[reportArgumentType]


def test_who_may_create_nothing_is_told(empty: str) -> None:
    name = empty.partition("/t")[2].partition("?")[0]
    change(
        empty,
        "DROP ROLE IF EXISTS guest",
        "CREATE ROLE guest LOGIN",
        f"REVOKE CREATE ON DATABASE t{name} FROM PUBLIC",
    )
    with pytest.raises(DiskError, match=r"may not do that there \(permission denied for database") as caught:
        upgrade_at(empty.replace("ollama@", "guest@"))
    assert caught.value.next_step and "CREATE on the database" in caught.value.next_step


async def test_a_wrong_password_is_told_and_not_shown(own_server: Postgres, tmp_path: Path) -> None:
    url = own_server.url()
    change(url, "DROP ROLE IF EXISTS ada", "CREATE ROLE ada LOGIN PASSWORD 'right'")
    own_server.ask_passwords_of("ada")
    given = url.replace("ollama@", "ada:SECRET@")
    error = await refusal(given, tmp_path)
    assert "password is wrong" in error.message and "SECRET" not in f"{error}{error.next_step}"
    with pytest.raises(DiskError) as caught:
        upgrade_at(url.replace("ollama@", "ada@"))
    assert "password is wrong" in caught.value.message


async def test_there_is_no_such_database(database_server: Postgres, tmp_path: Path) -> None:
    error = await refusal(database_server.address("absent"), tmp_path)
    assert "there is no such database" in error.message and error.next_step and "createdb" in error.next_step


async def test_nobody_listens_there(tmp_path: Path) -> None:
    error = await refusal(f"postgresql://ada:SECRET@/d?host={tmp_path}", tmp_path)
    assert "does not answer" in error.message and "SECRET" not in str(error)


@pytest.mark.parametrize("library", ["psycopg", "procrastinate"])
async def test_a_missing_library_is_told_with_the_extra_that_brings_it(
    library: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    async with opened(tmp_path / "s.sqlite3", url="postgresql://h/d") as store:
        with pytest.raises(InvalidArgument, match="extra `fleet`") as caught:
            await begun(store)
        assert caught.value.next_step and "psycopg" in caught.value.next_step
        assert await store.embeddings.get("m:0", [b"text"]) == {}
    assert "extra `fleet`" in caplog.text


@pytest.mark.slow
async def test_a_database_may_go_and_come_back(
    own_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ollama_mcp.store.postgres._AWAY_SECONDS", 0.0)

    def count(store: Store) -> None:
        store.usage.count("m", cloud=False, prompt_tokens=1, tokens=1, file_tokens=0, seconds=1.0)

    async def calls(store: Store) -> int:
        return (await store.usage.totals()).all_time.local_total.calls

    async with opened(tmp_path / "s.sqlite3", url=own_server.url()) as store:
        batch = await begun(store)
        await fill(batch, range(3))
        count(store)
        assert await calls(store) == 1
        for number, mode in enumerate(("immediate", "fast")):
            await asyncio.to_thread(own_server.stop, mode)
            with pytest.raises(DiskError):
                await batch.save(10 + number, b"lost", error=False)
            count(store)
            # What the database has is not known; what was counted since is.
            assert await calls(store) == 1
            await asyncio.to_thread(own_server.start)
            await batch.save(20 + number, b"kept", error=False)
            assert await calls(store) == 2 + number
        assert batch.done == 5
    assert caplog.text.count("can be used again") == 2


async def test_a_connection_that_was_ended_meanwhile_is_opened_anew(url: str, tmp_path: Path) -> None:
    async with opened(tmp_path / "s.sqlite3", url=url) as store:
        batch = await begun(store)
        change(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        await batch.save(1, b"kept", error=False)
        assert batch.done == 1


async def test_a_lock_that_stays_is_told(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = "BEGIN; SET LOCAL search_path TO ollama_mcp; SET LOCAL lock_timeout TO '50ms'"
    monkeypatch.setattr("ollama_mcp.store.postgres._BEGIN", begin)
    async with opened(tmp_path / "s.sqlite3", url=url) as store:
        batch = await begun(store)
        with psycopg.connect(url) as holder:
            holder.execute("LOCK TABLE ollama_mcp.runs IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(DiskError, match="kept it locked"):
                await batch.save(1, b"late", error=False)
        await batch.save(1, b"in time", error=False)
        assert batch.done == 1


@pytest.mark.slow
async def test_the_command_line_makes_the_tables_shows_and_deletes(empty: str, tmp_path: Path) -> None:
    given = {"OLLAMA_MCP_STORE__URL": empty, "OLLAMA_MCP_STORE__PATH": str(tmp_path / "s.sqlite3")}
    refused = await run("store", "show", **given)
    assert refused.code == 2 and "store upgrade" in refused.err
    made = await run("store", "upgrade", **given)
    assert made.code == 0 and "has its tables now" in made.out, made.err
    assert "already" in (await run("store", "upgrade", **given)).out
    async with opened(tmp_path / "s.sqlite3", url=empty) as store:
        await fill(await begun(store, "old"), range(3))
        change(empty, f"UPDATE ollama_mcp.runs SET touched = {int(time.time()) - 10_000}")
        await fill(await begun(store, "new"), range(2))
        await store.embeddings.put("m:0", [(b"text", b"0000")])
    shown = await run("store", "show", **given)
    said = [" ".join(line.replace("|", " ").split()) for line in shown.out.splitlines()]
    assert {"unfinished batches 2", "embeddings and words 1 4 B"} <= set(said), shown
    purged = await run("store", "purge", **given)
    assert "1 unfinished batches" in purged.out and "Kept: 1 batches" in purged.out, purged
    async with opened(tmp_path / "s.sqlite3", url=empty) as store:
        assert [one.key for one in await store.batches.unfinished()] == ["new"]
        assert await store.embeddings.get("m:0", [b"text"]) == {}


async def test_servers_with_one_database_know_each_others_confirmations(url: str, simulator: Simulator) -> None:
    store = {"path": ":memory:", "url": url}
    async with AsyncExitStack() as stack:
        addresses = [await stack.enter_async_context(served(simulator.url, stateless=True, store=store)) for _ in "ab"]
        one, other = [await stack.enter_async_context(Client(address)) for address in addresses]
        said = error(await one.call_tool("ollama_delete_model", {"model": "llama3.2:3b"}), "needs_confirmation")
        code = re.search(r"confirm='([^']+)'", said)
        assert code is not None, said
        done = await other.call_tool("ollama_delete_model", {"model": "llama3.2:3b", "confirm": code[1]})
        assert not done.is_error, done
    assert [seen.path for seen in simulator.requests].count("/api/delete") == 1


async def test_a_pooler_may_give_each_transaction_another_connection(
    url: str, database_server: Postgres, tmp_path: Path
) -> None:
    with pgbouncer(database_server, url) as pooled:
        state = await asyncio.to_thread(state_of, pooled)
        assert (state.pooled, state.hears, state.tables) == (True, False, None)
        async with AsyncExitStack() as stack:
            places = [Place(tmp_path / "s.sqlite3", pooled)] * 3
            stores = [await stack.enter_async_context(opened(place)) for place in places]
            runs = [await begun(store) for store in stores]
            vectors = [(number.to_bytes(16, "big"), bytes(64)) for number in range(500)]

            async def use(number: int) -> None:
                await fill(runs[number], range(300))
                await stores[number].embeddings.put("m:0", vectors)
                await stores[number].embeddings.drop("m:0", [vectors[number][0]])

            await asyncio.gather(*map(use, range(3)))
            assert (await begun(stores[0])).done == sum(run.done for run in runs) == 300
            assert len(await stores[0].embeddings.get("m:0", [key for key, _ in vectors])) >= 497


@pytest.fixture
def small(own_server: Postgres) -> Generator[str]:
    """A database on a disk of a few megabytes."""
    disk = own_server.folder / "small"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=777", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    shutil.chown(disk, "nobody")
    try:
        change(own_server.address("postgres"), f"CREATE TABLESPACE small LOCATION '{disk}'")
        change(own_server.address("postgres"), "CREATE DATABASE small TABLESPACE small TEMPLATE template0")
        url = own_server.address("small")
        upgrade_at(url)
        yield url
        change(own_server.address("postgres"), "DROP DATABASE small WITH (FORCE)", "DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a small disk is mounted as Linux does")
async def test_a_full_disk_is_told_and_harms_nothing_that_was_kept(
    small: str, own_server: Postgres, tmp_path: Path
) -> None:
    async with opened(tmp_path / "s.sqlite3", url=small) as store:
        batch = await begun(store)
        await fill(batch, range(10))
        with pytest.raises(DiskError, match="disk is full") as caught:
            for row in range(10, 200):
                await batch.save(row, random.randbytes(1_000_000), error=False)
        assert caught.value.next_step and "Free some space there" in caught.value.next_step
        kept = [row for row, _, _ in await rows_of(batch)]
        assert kept == list(range(batch.done)) and batch.done >= 10
        more = ["mount", "-o", "remount,size=64m", own_server.folder / "small"]
        await asyncio.to_thread(subprocess.run, more, check=True)
        await batch.save(500, b"after", error=False)
        assert [row for row, _, _ in await rows_of(batch)] == [*kept, 500]


async def test_doctor_looks_at_the_database(url: str, database_server: Postgres) -> None:
    async def looked(address: str) -> list[tuple[str, str]]:
        found.extend([check async for check in check_database(address)])
        return [(check.name, check.verdict) for check in found[-3:]]

    found: list[Check] = []
    with pgbouncer(database_server, url) as pooled:
        assert await looked(url) == [("database", "ok"), ("notify", "ok"), ("clock", "ok")]
        assert found[0].found.endswith("servers and workers alive: 0")
        assert await looked(pooled) == [("database", "ok"), ("notify", "warning"), ("clock", "ok")]
    # Of the queue, whose tables have a version of their own.
    change(url, "UPDATE ollama_mcp.meta SET value = '99.0' WHERE name = 'queue'")
    assert (await looked(url))[0] == ("database", "broken") and "pip install" in found[-3].fix
    with pytest.raises(DiskError, match="knows"):
        upgrade_at(url)
    version_is(url, "9.0")
    assert (await looked(url))[0] == ("database", "broken") and "store upgrade" in found[-3].fix
    assert (await looked(database_server.address("absent")))[-1] == ("database", "broken")
    assert "createdb" in found[-1].fix
