"""Servers that work on rows beside their clients (`fleet.work`), and what they refuse."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Fault, Simulator
from tests.fleet.postgres import Postgres
from tests.fleet.replicas import replicas
from tests.fleet.running import KEPT, batch, rows_of, simulated
from tests.fleet.workers import LOST_SECONDS, query, shared, until_alive
from tests.jobs.support import JOB, MODEL, job_of, listed_once
from tests.support import connected, data, until

RUN_OF_JOB = "SELECT count(*) FROM jobs JOIN fleet_runs ON (progress::json ->> 'run')::bigint = run"


@pytest.mark.slow
async def test_a_server_works_on_the_rows_that_another_gives_out_until_it_stops(
    tmp_path: Path, database_server: Postgres
) -> None:
    url = database_server.url()
    for name in ("home", "other"):
        (tmp_path / name).mkdir()
    async with simulated() as own, Simulator(version="latest") as simulator:
        settings = shared(tmp_path / "other", url)
        settings["fleet"] = {**settings["fleet"], "work": True}
        # What becomes of a row is decided where its batch began.
        settings |= {"policy": {"num_predict": 2}, "defaults": {"options": {"seed": 7}}}
        async with connected(simulator.url, **settings) as other:
            await until_alive(url, 1)
            async with batch(own, url, tmp_path / "home", rows=200) as running:
                assert (await running.ended())["done"] == 200
            assert not any(seen.path == "/api/chat" for seen in own.requests)
            # It answers its own clients beside that.
            assert data(await other.call_tool("ollama_status", {}))
        assert rows_of(tmp_path / "home" / "out.jsonl") == await running.alone()
        assert query(url, "SELECT count(*) FROM procrastinate_workers") == [(0,)]


@pytest.mark.long
async def test_the_rows_of_a_job_whose_server_was_killed_are_worked_on_until_it_is_cancelled(
    tmp_path: Path, database_server: Postgres
) -> None:
    url = database_server.url()
    given: dict[str, Any] = {"fleet__work": True, "fleet__lost_seconds": LOST_SECONDS, "jobs__resume": "ask"}
    async with (
        Simulator(version="latest", num_parallel=64) as simulator,
        replicas(simulator.url, url, tmp_path, count=2, **given) as two,
    ):
        await until_alive(url, 2)
        simulator.faults.add(Fault("delay", path="/api/chat", seconds=0.2))
        ask = {"model": MODEL, "input": [f"text {n}" for n in range(400)], "prompt": "Say {text}", "background": True}
        ask["output"] = "out.jsonl"
        async with two.client("ann", 0) as ann:
            job = job_of(await ann.call_tool("ollama_batch", ask))
            # What is written of a job is up to a second old.
            await until(lambda: query(url, KEPT)[0][0] > 0 and query(url, RUN_OF_JOB) == [(1,)], 60)
            await two.all[0].kill()
        kept = query(url, KEPT)[0][0]
        await until(lambda: query(url, KEPT)[0][0] > kept + 4, 60)
        simulator.faults.add(Fault("hang", path="/api/chat"))
        await until(lambda: simulator.in_flight, 60)
        async with two.client("ann", 1) as ann:
            await ann.call_tool(JOB, {"action": "cancel", "id": job})
            await listed_once(ann, lambda rows: rows[job]["state"] == "cancelled")
        await until(lambda: not simulator.in_flight, 60)
        assert query(url, "SELECT state, (SELECT count(*) FROM ranges) FROM fleet_runs") == [("cancelled", 0)]


@pytest.mark.long
async def test_what_a_server_has_begun_when_it_stops_goes_to_another(tmp_path: Path, database_server: Postgres) -> None:
    url = database_server.url()
    for name in ("home", "other"):
        (tmp_path / name).mkdir()
    async with simulated() as simulator:
        settings = shared(tmp_path / "other", url, lost_seconds=60)
        settings["fleet"]["work"] = True
        leave = asyncio.Event()

        async def first() -> None:
            async with connected(simulator.url, **settings):
                await leave.wait()

        serving = asyncio.create_task(first())
        await until_alive(url, 1)
        async with batch(simulator, url, tmp_path / "home", rows=300) as running:
            await running.until_kept(60)
            leave.set()
            await serving
            # Its requests are let go, and it has left the queue.
            assert not simulator.in_flight and query(url, "SELECT count(*) FROM procrastinate_workers") == [(0,)]
            async with connected(simulator.url, **settings):
                assert (await running.ended())["done"] == 300
        chats = [seen for seen in simulator.requests if seen.path == "/api/chat"]
        # What was asked of it was waited for and kept, but for the last moment.
        assert len(chats) <= 320


async def test_without_a_store_that_is_shared_it_does_not_start() -> None:
    with pytest.raises(InvalidArgument, match=r"store\.url"):
        OllamaServer(Settings.model_validate({"fleet": {"work": True}}))
