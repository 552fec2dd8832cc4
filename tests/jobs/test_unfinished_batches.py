"""What ollama_job tells of batches that stopped before their end."""

import asyncio
from pathlib import Path
from typing import Any

from mcp import Client

from ollama_mcp.simulator import Answer, Simulator
from tests.support import connected, data, served, text, texts, until

MODEL = "llama3.2:3b"
JOB = "ollama_job"
TRIAL: dict[str, Any] = {"input": ["one", "two", "three"], "prompt": "Translate: {text}", "model": MODEL, "limit": 1}


async def test_a_trial_is_listed_with_what_its_call_was_until_the_rest_is_done(simulator: Simulator):
    async with connected(simulator.url) as client:
        assert data(await client.call_tool(JOB, {})) == {"jobs": []}
        await client.call_tool("ollama_batch", TRIAL)
        listed = await client.call_tool(JOB, {})
        (left,) = data(listed)["unfinished_batches"]
        assert (left["done"], left["failed"], left["total"], left["task"]) == (1, 0, 3, "Translate: {text}")
        shown = text(listed)
        assert "Translate: {text}" in shown and "The same ollama_batch call" in shown
        await client.call_tool("ollama_batch", {**TRIAL, "limit": None})
        assert data(await client.call_tool(JOB, {})) == {"jobs": []}


async def test_a_batch_that_a_server_works_on_is_a_job_and_not_unfinished(simulator: Simulator, tmp_path: Path):
    gate = asyncio.Event()
    kept = {"path": str(tmp_path / "store.sqlite3")}
    simulator.script(MODEL, Answer("a"), Answer("b"), Answer("c", hold=gate))
    async with connected(simulator.url, store=kept) as client, connected(simulator.url, store=kept) as other:
        await client.call_tool("ollama_batch", {**TRIAL, "limit": 2})
        assert data(await other.call_tool(JOB, {}))["unfinished_batches"]
        asked = len(_chats(simulator))
        started = await client.call_tool("ollama_batch", {**TRIAL, "limit": None, "background": True})
        job = (started.meta or {})["ollama-mcp-server/job"]["id"]
        await until(lambda: len(_chats(simulator)) > asked)
        assert "unfinished_batches" not in data(await client.call_tool(JOB, {}))
        seen = data(await other.call_tool(JOB, {}))
        assert [(row["id"], row["state"]) for row in seen["jobs"]] == [(job, "running")]
        assert "unfinished_batches" not in seen
        gate.set()
        assert "3 of 3 rows" in texts(await other.call_tool(JOB, {"action": "result", "id": job}))[0]
        assert "3 of 3 rows" in texts(await client.call_tool(JOB, {"action": "result", "id": job}))[0]


async def test_clients_over_http_are_not_told_of_the_files_of_others(simulator: Simulator, tmp_path: Path):
    kept = {"path": str(tmp_path / "store.sqlite3")}
    async with connected(simulator.url, store=kept) as client:
        await client.call_tool("ollama_batch", TRIAL)
    async with served(simulator.url, store=kept) as url, Client(url) as client:
        assert data(await client.call_tool(JOB, {})) == {"jobs": []}


async def test_a_broken_store_does_not_sink_the_list(simulator: Simulator, tmp_path: Path):
    path = tmp_path / "store.sqlite3"
    path.mkdir()
    async with connected(simulator.url, store={"path": str(path)}) as client:
        assert data(await client.call_tool(JOB, {})) == {"jobs": []}


def _chats(simulator: Simulator) -> list[object]:
    return [request for request in simulator.requests if request.path == "/api/chat"]
