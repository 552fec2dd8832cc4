"""A database that cannot be used for a while: work that was begun waits for it, and a new call says so at once."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ollama_mcp.errors import DiskError
from ollama_mcp.simulator import Answer, Simulator
from ollama_mcp.store.patient import DatabaseAway
from ollama_mcp.work.batch.pool import PAGE_ROWS, RowQueue
from ollama_mcp.work.batch.rows import InputRow
from tests.fleet.postgres import Postgres
from tests.fleet.workers import query
from tests.jobs.support import JOB, MODEL, job_of
from tests.store.support import Place, opened
from tests.support import Client, connected, data, error, until

TIMES = 3
SHUTTING_DOWN, READ_ONLY = "57P01", "25006"
# What is refused is rolled back, and the number of times stays.
REFUSE = """CREATE SEQUENCE refusals;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('refusals') <= {} THEN RAISE EXCEPTION 'shutting down' USING ERRCODE = '{}'; END IF;
    RETURN NEW; END $$"""
REFUSED = "SELECT last_value > %s FROM refusals"


def refuse(url: str, event: str, code: str = SHUTTING_DOWN) -> None:
    """Have the database refuse what changes a table, a few times."""
    query(url, REFUSE.format(TIMES, code))
    query(url, f"CREATE TRIGGER refuse BEFORE {event} FOR EACH ROW EXECUTE FUNCTION refuse()")


def was_refused(url: str) -> bool:
    """Whether all of these times are over."""
    return query(url, REFUSED, TIMES) == [(True,)]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ollama_mcp.store.patient.RETRY_SECONDS", 0.05)
    monkeypatch.setattr("ollama_mcp.server.jobs.RESUME_DELAY_SECONDS", 0.01)


def settings(url: str, folder: Path) -> dict[str, Any]:
    """Those of each server here."""
    return {"store": {"url": url}, "write": {"folders": [str(folder)]}, "work": {"parallel": 1}}


def batch(folder: Path) -> dict[str, Any]:
    """A batch of three rows."""
    rows = ["one", "two", "three"]
    return {"input": rows, "prompt": "Say {text}", "model": MODEL, "output": str(folder / "out.jsonl")}


async def done(client: Client, job: str) -> dict[str, Any]:
    """What a job came to."""
    return data(await client.call_tool(JOB, {"action": "result", "id": job}))


@pytest.mark.parametrize("code", [SHUTTING_DOWN, READ_ONLY])
@pytest.mark.parametrize("event", ["INSERT ON records", "UPDATE OF result ON jobs"])
async def test_what_is_begun_waits_for_it(
    event: str, code: str, tmp_path: Path, simulator: Simulator, database_server: Postgres
) -> None:
    url = database_server.url()
    async with connected(simulator.url, **settings(url, tmp_path)) as client:
        refuse(url, event, code)
        job = job_of(await client.call_tool("ollama_batch", {**batch(tmp_path), "background": True}))
        assert (await done(client, job))["done"] == 3
        await until(lambda: was_refused(url))
    assert query(url, "SELECT state FROM jobs") == [("done",)]
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3
    assert sum(one.path == "/api/chat" for one in simulator.requests) == 3


async def test_a_job_that_another_server_left_waits_for_it_from_its_beginning(
    tmp_path: Path, simulator: Simulator, database_server: Postgres
) -> None:
    url = database_server.url()
    simulator.script(MODEL, Answer("1"), Answer("2", hold="second"))
    async with connected(simulator.url, **settings(url, tmp_path)) as client:
        job = job_of(await client.call_tool("ollama_batch", {**batch(tmp_path), "background": True}))
        await until(lambda: query(url, "SELECT count(*) FROM records") == [(1,)])
    refuse(url, "UPDATE OF total ON runs")
    async with connected(simulator.url, **settings(url, tmp_path)) as client:
        assert (await done(client, job))["done"] == 3
        assert was_refused(url)


async def test_a_result_does_not_wait_for_the_removal_of_its_rows(
    tmp_path: Path, simulator: Simulator, database_server: Postgres
) -> None:
    url = database_server.url()
    async with connected(simulator.url, **settings(url, tmp_path)) as client:
        refuse(url, "UPDATE OF key ON runs")
        assert data(await client.call_tool("ollama_batch", batch(tmp_path)))["done"] == 3
    assert not was_refused(url)
    assert query(url, "SELECT count(*) FROM records") == [(3,)]


async def test_the_next_page_of_rows_is_not_waited_for_once_nobody_wants_it(
    tmp_path: Path, database_server: Postgres
) -> None:
    url = database_server.url()
    async with opened(Place(tmp_path / "store.sqlite3", url)) as store:
        batches = store.batches.patient(_not_told, at_once=False)
        run = await batches.open("key", total=3 * PAGE_ROWS, metadata={})
        rows = (InputRow(number, {"text": "x"}, {}) for number in range(1, 3 * PAGE_ROWS + 1))
        queue = RowQueue(rows, run, 3 * PAGE_ROWS, PAGE_ROWS)
        assert len(await queue.next()) == PAGE_ROWS
        _close_to_all(database_server, url)
        # Of a page that was looked up before, or not at all.
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await queue.next()
        async with asyncio.timeout(30):
            await queue.aclose()


async def _not_told(error: DiskError) -> None:
    pass


def _close_to_all(server: Postgres, url: str) -> None:
    name = conninfo_to_dict(url)["dbname"]
    with psycopg.connect(server.address("postgres"), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


@pytest.mark.slow
async def test_those_who_wait_while_it_cannot_be_reached_try_once_together(tmp_path: Path) -> None:
    # Nobody answers what is sent there.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = (
            f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=2&sslmode=disable&gssencmode=disable"
        )
        async with opened(Place(tmp_path / "store.sqlite3", url)) as store:
            found = await asyncio.gather(*(store.batches.unfinished() for _ in range(5)), return_exceptions=True)
            assert [type(one) for one in found] == [DatabaseAway] * 5
        silent.settimeout(0.1)
        silent.accept()[0].close()
        with pytest.raises(TimeoutError):
            silent.accept()


async def test_a_new_call_says_so_at_once(tmp_path: Path, simulator: Simulator, database_server: Postgres) -> None:
    url = database_server.url()
    async with connected(simulator.url, **settings(url, tmp_path)) as client:
        refuse(url, "INSERT ON runs")
        said = error(await client.call_tool("ollama_batch", batch(tmp_path)), "disk")
        assert "does not answer (shutting down)" in said
    assert not was_refused(url)
