"""A home that dies as soon as it has given out a range: whoever cancels its job ends that range too."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ollama_mcp.simulator import Simulator
from tests.fleet.postgres import Postgres
from tests.fleet.replicas import replicas
from tests.fleet.workers import query
from tests.jobs.support import JOB, MODEL, job_of, listed_once
from tests.support import until

HELD = 4711
# The home has one connection: while its second range waits, it writes nothing else.
HOLD = f"""CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock({HELD}); RETURN NEW; END $$"""
SECOND = "CREATE TRIGGER hold BEFORE INSERT ON ranges FOR EACH ROW WHEN (NEW.no = 2) EXECUTE FUNCTION hold()"
WAITS = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {HELD} AND NOT granted"
RANGES = "SELECT (SELECT count(*) FROM ranges), (SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo')"


@pytest.mark.slow
async def test_the_first_range_of_a_home_that_died_at_once_ends_with_its_job(
    tmp_path: Path, database_server: Postgres
) -> None:
    url = database_server.url()
    for statement in (HOLD, SECOND, "INSERT INTO procrastinate_workers DEFAULT VALUES"):
        query(url, statement)
    ask = {"model": MODEL, "input": [f"text {n}" for n in range(100)], "prompt": "Say {text}", "background": True}
    ask["output"] = "out.jsonl"
    given: dict[str, Any] = {"fleet__lost_seconds": 60, "jobs__resume": "ask"}
    async with (
        Simulator(version="latest") as simulator,
        replicas(simulator.url, url, tmp_path, count=2, **given) as two,
        two.client("ann", 1) as other,
    ):
        with psycopg.connect(url, autocommit=True) as holder:
            holder.execute("SELECT pg_advisory_lock(%s)", (HELD,))
            async with two.client("ann", 0) as ann:
                asking = asyncio.create_task(ann.call_tool("ollama_batch", ask))
                await until(lambda: query(url, WAITS) == [(1,)], 60)
                job = job_of(await asking)
                await two.all[0].kill()
        assert query(url, RANGES) == [(1, 1)]
        await other.call_tool(JOB, {"action": "cancel", "id": job})
        await listed_once(other, lambda rows: rows[job]["state"] == "cancelled")
        assert query(url, RANGES) == [(0, 0)]
        assert query(url, "SELECT state FROM fleet_runs") == [("cancelled",)]
