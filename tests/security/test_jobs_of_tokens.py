"""Jobs of tokens over a restart: each goes on for whoever began it, in their name, and for nobody else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ollama_mcp.server.auth.token_file import add_token, revoke_token
from ollama_mcp.simulator import Answer, Simulator
from tests.jobs.support import JOB, MODEL, job_of, listed_once
from tests.security.team import Team, team_at
from tests.support import data, error, text, until

BATCH: dict[str, Any] = {"model": MODEL, "input": ["a", "b", "c"], "prompt": "Say {text}", "background": True}
MORE = {"ann": ["use", "files"], "bob": ["use", "files"]}


def given(folder: Path, **more: Any) -> dict[str, Any]:
    """Settings of servers with one store; what calls name starts from the folder of who makes them."""
    (folder / "results").mkdir(exist_ok=True)
    shared: dict[str, Any] = {
        "store": {"path": str(folder / "store.sqlite3")},
        "read": {"over_http": True},
        "write": {"folders": [str(folder / "results")]},
        "work": {"parallel": 1},
    }
    return {**shared, **more}


def chats(simulator: Simulator) -> int:
    """How many requests were made of the model."""
    return sum(seen.path == "/api/chat" for seen in simulator.requests)


async def stopped(simulator: Simulator, folder: Path, settings: dict[str, Any]) -> tuple[str, Team]:
    """A batch of ann that its server did not finish."""
    simulator.script(MODEL, Answer("1"), Answer("2"), Answer("never", hold=asyncio.Event()))
    async with team_at(simulator.url, folder / "1", more=MORE, **settings) as team, team.client("ann") as client:
        job = job_of(await client.call_tool("ollama_batch", {**BATCH, "output": "out.jsonl"}))
        await until(lambda: chats(simulator) == 3, 60)
    return job, team


def outputs(folder: Path) -> dict[str, list[str]]:
    """What was written, by the name of the file below the folder of results."""
    files = (folder / "results").rglob("*.jsonl")
    return {
        file.relative_to(folder / "results").as_posix(): [
            json.loads(line)["output"] for line in file.read_text(encoding="utf-8").splitlines()
        ]
        for file in files
    }


async def test_a_job_goes_on_for_its_own_token_whoever_comes_first(simulator: Simulator, tmp_path: Path) -> None:
    settings = given(tmp_path)
    job, _ = await stopped(simulator, tmp_path, settings)
    simulator.script(MODEL, Answer("3"))
    async with (
        team_at(simulator.url, tmp_path / "2", more=MORE, **settings) as team,
        team.client("bob") as bob,
        team.client("ann") as ann,
    ):
        # Each is gone on with after its token's first list of tools; bob's comes first.
        await bob.list_tools()
        for action in ("status", "result", "resume"):
            assert "There is no job" in error(
                await bob.call_tool("ollama_job", {"action": action, "id": job}), "invalid_argument"
            )
        await ann.list_tools()
        _, rows = await listed_once(ann, lambda rows: rows.get(job, {}).get("state") == "done")
        assert rows[job]["tool"] == "ollama_batch"
        done = data(await ann.call_tool("ollama_job", {"action": "result", "id": job}))
        assert (done["rows"], done["done"]) == (3, 3)
        assert job not in str(await bob.call_tool("ollama_job", {}))
    # In ann's folder: in bob's name it would have gone to his.
    assert outputs(tmp_path) == {"ann/out.jsonl": ["1", "2", "3"]}


@pytest.mark.slow
async def test_a_job_of_a_token_waits_while_only_others_come(simulator: Simulator, tmp_path: Path) -> None:
    settings = given(tmp_path)
    job, _ = await stopped(simulator, tmp_path, settings)
    other = {**BATCH, "input": ["x", "y"], "output": "other.jsonl", "background": False}
    async with team_at(simulator.url, tmp_path / "2", more=MORE, **settings) as team, team.client("bob") as bob:
        await bob.list_tools()
        # Longer than any server waits before it goes on with jobs.
        await asyncio.sleep(4)
        simulator.script(MODEL, Answer("bob's"), Answer("too"))
        assert not (await bob.call_tool("ollama_batch", other)).is_error
        assert chats(simulator) == 5 and outputs(tmp_path) == {"bob/other.jsonl": ["bob's", "too"]}
        simulator.script(MODEL, Answer("3"))
        async with team.client("ann") as ann:
            await ann.call_tool("ollama_job", {"action": "result", "id": job})
            await listed_once(ann, lambda rows: rows.get(job, {}).get("state") == "done")
    assert outputs(tmp_path)["ann/out.jsonl"] == ["1", "2", "3"]


async def test_who_may_no_longer_use_models_does_not_by_a_job_either(simulator: Simulator, tmp_path: Path) -> None:
    settings = given(tmp_path)
    job, _ = await stopped(simulator, tmp_path, settings)
    async with team_at(simulator.url, tmp_path / "2", more=MORE, **settings) as team:
        revoke_token(team.file, "ann")
        team.secrets["ann"] = add_token(team.file, "ann", ["read", "files"])
        await team.until("ann", 200)
        async with team.client("ann") as ann:
            await ann.list_tools()
            await ann.call_tool("ollama_job", {"action": "resume", "id": job})
            assert job in str(await ann.call_tool("ollama_job", {}))
        assert chats(simulator) == 3 and outputs(tmp_path) == {}


async def test_a_job_that_goes_on_counts_among_the_calls_at_once(simulator: Simulator, tmp_path: Path) -> None:
    settings = given(tmp_path, principals={"ann": {"calls": 1}})
    await stopped(simulator, tmp_path, settings)
    simulator.script(MODEL, Answer("3", hold="gate"))
    async with team_at(simulator.url, tmp_path / "2", more=MORE, **settings) as team, team.client("ann") as ann:
        await ann.list_tools()
        await until(lambda: chats(simulator) == 4, 60)
        said = error(await ann.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"}), "busy")
        assert "has 1 calls running, its limit" in said
        simulator.release("gate")
        await listed_once(ann, lambda rows: all(row["state"] == "done" for row in rows.values()))
        assert not (await ann.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})).is_error


async def test_the_jobs_of_one_do_not_take_the_place_of_anothers_first(simulator: Simulator, tmp_path: Path) -> None:
    simulator.script(MODEL, *[Answer("never", hold=asyncio.Event())] * 3)
    ask = {"model": MODEL, "prompt": "Hi", "background": True}
    async with (
        team_at(simulator.url, tmp_path, more=MORE, jobs={"limit": 2}) as team,
        team.client("ann") as ann,
        team.client("bob") as bob,
    ):
        for client, jobs in ((ann, 2), (bob, 1)):
            for _ in range(jobs):
                job_of(await client.call_tool("ollama_chat", ask))
            assert "2 jobs are running" in error(await client.call_tool("ollama_chat", ask), "busy")


@pytest.mark.parametrize("limit", [{"limit": 3}, {"keep_bytes": 1_000}], ids=["number", "bytes"])
async def test_the_results_of_one_do_not_go_for_those_of_another(
    simulator: Simulator, tmp_path: Path, limit: dict[str, int]
) -> None:
    async with (
        team_at(simulator.url, tmp_path / "1", more=MORE, jobs=limit, **given(tmp_path)) as team,
        team.client("ann") as ann,
        team.client("bob") as bob,
    ):

        async def ended(client: Client, word: str) -> str:
            simulator.script(MODEL, Answer(f"{word} " * 50))
            ask = {"model": MODEL, "prompt": "Hi", "background": True}
            job = job_of(await client.call_tool("ollama_chat", ask))
            assert word in text(await client.call_tool(JOB, {"action": "result", "id": job}))
            return job

        first = await ended(bob, "bob")
        flood = [await ended(ann, "ann") for _ in range(6)]
        assert "bob" in text(await bob.call_tool(JOB, {"action": "result", "id": first}))
        await listed_once(ann, lambda rows: flood[-1] in rows and flood[0] not in rows)
    # Nor in the store, after a restart.
    async with (
        team_at(simulator.url, tmp_path / "2", more=MORE, jobs=limit, **given(tmp_path)) as team,
        team.client("bob") as bob,
    ):
        assert "bob" in text(await bob.call_tool(JOB, {"action": "result", "id": first}))
