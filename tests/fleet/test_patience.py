"""A database that cannot be used for a while: work that was begun waits for it, and a new call says so at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.fleet.postgres import Postgres
from tests.fleet.workers import query
from tests.jobs.support import JOB, MODEL, job_of
from tests.support import Client, connected, data, error, until

TIMES = 3
# As a server that is shutting down: what is refused is rolled back, and the number of times stays.
REFUSE = f"""CREATE SEQUENCE refusals;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('refusals') <= {TIMES} THEN RAISE EXCEPTION 'shutting down' USING ERRCODE = '57P01'; END IF;
    RETURN NEW; END $$"""
REFUSED = "SELECT last_value > %s FROM refusals"


def refuse(url: str, event: str) -> None:
    """Have the database refuse what changes a table, a few times."""
    query(url, REFUSE)
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


@pytest.mark.parametrize("event", ["INSERT ON records", "UPDATE OF result ON jobs", "UPDATE OF key ON runs"])
async def test_what_is_begun_waits_for_it(
    event: str, tmp_path: Path, simulator: Simulator, database_server: Postgres
) -> None:
    url = database_server.url()
    async with connected(simulator.url, **settings(url, tmp_path)) as client:
        refuse(url, event)
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


async def test_a_new_call_says_so_at_once(tmp_path: Path, simulator: Simulator, database_server: Postgres) -> None:
    url = database_server.url()
    async with connected(simulator.url, **settings(url, tmp_path)) as client:
        refuse(url, "INSERT ON runs")
        said = error(await client.call_tool("ollama_batch", batch(tmp_path)), "disk")
        assert "does not answer (shutting down)" in said
    assert not was_refused(url)
