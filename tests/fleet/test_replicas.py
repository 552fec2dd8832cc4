"""Three replicas behind nginx, which gives each request to the next: any of them answers for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from ollama_mcp.server.auth.token_file import revoke_token
from ollama_mcp.simulator import Answer, Simulator
from tests.fleet.postgres import Postgres
from tests.fleet.replicas import Replicas, replicas
from tests.jobs.support import JOB, MODEL, job_of, listed_once
from tests.support import data, error, texts, until
from tests.tasks.support import COMPARE, Claimed, asked, called, refused, seen

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

BATCH: dict[str, Any] = {"model": MODEL, "input": ["a", "b", "c"], "background": True}


def asked_for(simulator: Simulator, words: bytes) -> int:
    """How many requests had these words."""
    return sum(words in seen.body for seen in simulator.requests)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator() -> AsyncGenerator[Simulator]:
    """The host of all tests here."""
    async with Simulator(version="latest", num_parallel=8) as simulator:
        yield simulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def three(
    simulator: Simulator, database_server: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Replicas]:
    """Three replicas with a database of their own, whose calls become tasks at once."""
    folder = tmp_path_factory.mktemp("replicas")
    async with replicas(simulator.url, database_server.url(), folder, jobs__grace_seconds=0) as started:
        yield started


async def test_each_replica_shows_and_cancels_the_jobs_of_the_others(simulator: Simulator, three: Replicas) -> None:
    simulator.script(MODEL, Answer("1"), Answer("2", hold=asyncio.Event()))
    async with three.client("ann") as ann, three.client("bob") as bob:
        job = job_of(await ann.call_tool("ollama_batch", {**BATCH, "prompt": "Read {text}"}))
        await until(lambda: simulator.in_flight, 60)
        for _ in three.all:
            assert (await listed_once(ann, lambda rows: job in rows))[1][job]["state"] == "running"
            assert job not in str(await bob.call_tool(JOB, {}))
            for action in ("status", "result", "cancel", "resume"):
                said = error(await bob.call_tool(JOB, {"action": action, "id": job}), "invalid_argument")
                assert "There is no job" in said
        assert simulator.in_flight
        await ann.call_tool(JOB, {"action": "cancel", "id": job})
        await until(lambda: not simulator.in_flight, 60)
        for place in range(len(three.all)):
            async with three.client("ann", place) as client:
                _, rows = await listed_once(client, lambda rows: rows[job]["state"] != "running")
                assert rows[job]["state"] == "cancelled"


async def test_each_replica_has_the_result_of_a_job_that_another_ran(simulator: Simulator, three: Replicas) -> None:
    hold = asyncio.Event()
    simulator.script(MODEL, Answer("1"), Answer("2"), Answer("3", hold=hold))
    async with three.client("ann", 0) as one, three.client("ann", 1) as other, three.client("ann") as any_of_them:
        job = job_of(await one.call_tool("ollama_batch", {**BATCH, "prompt": "Say {text}"}))
        await until(lambda: simulator.in_flight, 60)
        waiting = asyncio.create_task(other.call_tool(JOB, {"action": "result", "id": job}))
        hold.set()
        results = [await waiting]
        results += [await any_of_them.call_tool(JOB, {"action": "result", "id": job}) for _ in three.all]
        assert [data(result)["done"] for result in results] == [3] * 4
        assert len({str(texts(result)) for result in results}) == 1


async def test_a_task_of_one_replica_is_followed_and_ended_at_the_others(simulator: Simulator, three: Replicas) -> None:
    hold = asyncio.Event()
    simulator.script(MODEL, Answer("one", hold=hold))
    async with three.client("ann", extensions=[Claimed()]) as ann, three.client("bob", extensions=[Claimed()]) as bob:
        task = str((await called(ann, "ollama_compare", COMPARE)).model_dump()["task_id"])
        for _ in three.all:
            assert (await asked(ann, "tasks/get", task))["status"] == "working"
            for method in ("tasks/get", "tasks/cancel"):
                assert task in str(await refused(bob, method, task))
        hold.set()
        done = [await seen(ann, task, "completed") for _ in three.all]
        assert len({str(one["result"]["content"]) for one in done}) == 1
        simulator.script(MODEL, Answer("never", hold=asyncio.Event()))
        task = str((await called(ann, "ollama_compare", COMPARE)).model_dump()["task_id"])
        await until(lambda: simulator.in_flight, 60)
        # By the replica whose turn is next, which is not the one that began it.
        await asked(ann, "tasks/cancel", task)
        await until(lambda: not simulator.in_flight, 60)
        for _ in three.all:
            await seen(ann, task, "cancelled")


async def test_a_confirmation_that_one_replica_asked_for_counts_at_another(
    simulator: Simulator, three: Replicas
) -> None:
    model = {"model": "gemma3:4b"}
    async with three.client("ann", 0) as one, three.client("ann", 1) as other:
        said = error(await one.call_tool("ollama_delete_model", model), "needs_confirmation")
        code = said.partition("confirm='")[2].partition("'")[0]
        assert error(await other.call_tool("ollama_delete_model", {**model, "confirm": True}), "needs_confirmation")
        assert not (await other.call_tool("ollama_delete_model", {**model, "confirm": code})).is_error


async def test_while_the_database_is_away_calls_say_so_and_a_job_that_ends_then_is_kept(
    simulator: Simulator, three: Replicas, database_server: Postgres
) -> None:
    hold = asyncio.Event()
    simulator.script(MODEL, Answer("1"), Answer("2"), Answer("3", hold=hold))
    async with three.client("ann", 0) as one, three.client("ann", 1) as other:
        job = job_of(await one.call_tool("ollama_batch", {**BATCH, "prompt": "Keep {text}"}))
        await until(lambda: asked_for(simulator, b"Keep") == 3, 60)
        await asyncio.to_thread(database_server.stop, "immediate")
        try:
            for arguments in ({}, {"action": "result", "id": job}, {"action": "cancel", "id": job}):
                said = error(await other.call_tool(JOB, arguments), "disk")
                assert "Check that PostgreSQL runs there" in said
            assert not (await other.call_tool("ollama_list_models", {})).is_error
        finally:
            await asyncio.to_thread(database_server.start)
        hold.set()
        async with asyncio.timeout(90):
            result = await other.call_tool(JOB, {"action": "result", "id": job})
        assert data(result)["done"] == 3


async def test_a_batch_goes_on_unasked_at_another_replica_when_its_own_is_killed(
    simulator: Simulator, three: Replicas
) -> None:
    jobs: dict[str, str] = {}
    async with three.client("ann", 2) as ann, three.client("bob", 2) as bob:
        for client, words in ((bob, "Leave"), (ann, "Go on")):
            simulator.script(MODEL, Answer("1"), Answer("never", hold=asyncio.Event()))
            jobs[words] = job_of(await client.call_tool("ollama_batch", {**BATCH, "prompt": f"{words} {{text}}"}))
            await until(lambda words=words: asked_for(simulator, words.encode()) == 2, 60)
        simulator.script(MODEL, Answer("2"), Answer("3"))
        # The older job is left to its owner, whose token does not count any more.
        await asyncio.to_thread(revoke_token, three.team.file, "bob")
        await three.all[2].kill()
    # The row that was under way is asked again, and no other.
    await until(lambda: asked_for(simulator, b"Go on") == 4, 60)
    async with three.client("ann") as ann:
        async with asyncio.timeout(90):
            result = await ann.call_tool(JOB, {"action": "result", "id": jobs["Go on"]})
        assert (data(result)["rows"], data(result)["done"]) == (3, 3)
    assert (asked_for(simulator, b"Go on"), asked_for(simulator, b"Leave")) == (4, 2)
    said = [line for one in three.all[:2] for line in one.said if "goes on here" in line]
    assert len(said) == 1 and jobs["Go on"] in said[0]
