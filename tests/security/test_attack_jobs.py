"""Attacks of our own on jobs, tasks and limits: those of another, before and after a restart."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.server import jobs
from ollama_mcp.simulator import Answer, Simulator
from tests.jobs.support import job_of
from tests.security.team import Vouched, team_at
from tests.support import data, error, served, texts, until
from tests.tasks.support import COMPARE, METHODS
from tests.tasks.test_wire import Stream, about, declared
from tests.transports.wire import HttpPeer, call

MODEL, OTHER = "llama3.2:3b", "qwen3:4b"
BATCH: dict[str, Any] = {"model": MODEL, "input": ["a", "b", "c"], "prompt": "Say {text}"}


async def test_a_job_goes_on_with_the_rights_of_who_began_it(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B05: after a restart, whoever comes first lends a job neither scopes nor folders, nor pays for it."""
    monkeypatch.setattr(jobs, "RESUME_DELAY_SECONDS", 0.0)
    given: dict[str, Any] = {"store": {"path": str(tmp_path / "store")}, "work": {"parallel": 1}}
    simulator.script(MODEL, Answer(text="one"), Answer(text="never", hold="gate"))
    async with team_at(simulator.url, tmp_path / "one", **given) as team, team.client("user") as client:
        job = job_of(await client.call_tool("ollama_batch", {**BATCH, "background": True}))
        await until(lambda: sum(one.path == "/api/chat" for one in simulator.requests) == 2)
    simulator.scripts.clear()
    before = len(simulator.requests)
    async with team_at(simulator.url, tmp_path / "two", **given) as team:
        for name in ("reader", "admin"):
            async with team.client(name) as client:
                for _ in range(5):
                    await client.list_tools()
                    assert job not in str(data(await client.call_tool("ollama_job", {})))
        assert not [one for one in simulator.requests[before:] if one.path == "/api/chat"]
        async with team.client("user") as client:
            await client.list_tools()
            result = await client.call_tool("ollama_job", {"action": "result", "id": job})
            assert not result.is_error and "3 of 3" in str(data(result)) + texts(result)[0], result


async def test_a_job_of_a_token_that_may_less_by_now_goes_on_within_its_limits(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B06: what was granted when it began does not come back with it."""
    monkeypatch.setattr(jobs, "RESUME_DELAY_SECONDS", 0.0)
    given: dict[str, Any] = {"store": {"path": str(tmp_path / "store")}, "work": {"parallel": 1}}
    simulator.script(MODEL, Answer(text="one"), Answer(text="never", hold="gate"))
    began = team_at(simulator.url, tmp_path / "one", more={"ann": ["use"]}, **given)
    async with began as team, team.client("ann") as client:
        job = job_of(await client.call_tool("ollama_batch", {**BATCH, "background": True}))
        await until(lambda: sum(one.path == "/api/chat" for one in simulator.requests) == 2)
    simulator.scripts.clear()
    before = len(simulator.requests)
    second = team_at(simulator.url, tmp_path / "two", more={"ann": ["read"]}, **given)
    async with second as team, team.client("ann") as client:
        await client.list_tools()
        result = await client.call_tool("ollama_job", {"action": "result", "id": job})
        assert "needs the scope 'use'" in texts(result)[0], result
        assert not [one for one in simulator.requests[before:] if one.path == "/api/chat"]


async def test_the_task_of_another_token(simulator: Simulator, tmp_path: Path) -> None:
    """B07: it is unknown to whoever asks for it, answers its question or cancels it."""
    simulator.script(MODEL, Answer(text="never", hold="gate"))
    async with team_at(simulator.url, tmp_path, jobs={"grace_seconds": 0.0}) as team:

        async def post(name: str, message: Any) -> Any:
            named = {"Mcp_Name": message["params"]["taskId"]} if "taskId" in message["params"] else {}
            answer = await team.peer.post(message, "modern", **named, **team.headers(name))
            return answer.messages[-1]

        begun = await post("user", declared(call(1, "ollama_compare", era="modern", **COMPARE)))
        task = begun["result"]["taskId"]
        for method, more in METHODS:
            for name in ("other", "admin", "reader"):
                said = await post(name, about(method, task, **more))
                assert said["error"]["code"] == -32602, (method, name, said)
        assert (await post("user", about("tasks/get", task)))["result"]["status"] == "working"
        assert not simulator.disconnects
        await post("user", about("tasks/cancel", task))
        await until(lambda: simulator.disconnects)


async def test_listening_to_the_task_of_another_token(simulator: Simulator, tmp_path: Path) -> None:
    """B07: it is not acknowledged, and nothing is told of it, neither as it is nor as it changes."""
    simulator.script(MODEL, *[Answer(text="never", hold="gate")] * 4)
    async with team_at(simulator.url, tmp_path, jobs={"grace_seconds": 0.0}) as team:

        async def ask(name: str, message: Any, **headers: str) -> dict[str, Any]:
            return (await team.peer.post(message, "modern", **headers, **team.headers(name))).messages[-1]["result"]

        begin = declared(call(1, "ollama_compare", era="modern", **COMPARE))
        tasks = {name: (await ask(name, begin))["taskId"] for name in ("user", "other", "admin")}
        ids = list(tasks.values())
        async with (
            Stream(team.peer, team.headers("reader"), taskIds=ids) as reader,
            Stream(team.peer, team.headers("admin"), taskIds=ids) as admin,
            Stream(team.peer, team.headers("other"), taskIds=ids) as other,
            Stream(team.peer, team.headers("user"), taskIds=ids) as user,
        ):
            seen = {"reader": reader, "admin": admin, "other": other, "user": user}
            for name, stream in seen.items():
                own = [tasks[name]] if name in tasks else []
                assert (await stream.next())["params"]["notifications"] == {"taskIds": own}, name
            for status in ("working", "cancelled"):
                # Whoever must not be told of the others' is told of its own after theirs.
                for name in tasks:
                    if status == "cancelled":
                        await ask(name, about("tasks/cancel", tasks[name]), Mcp_Name=tasks[name])
                    told = (await seen[name].next())["params"]
                    assert (told["taskId"], told["status"]) == (tasks[name], status)


async def test_calls_beyond_the_limit_by_tasks(simulator: Simulator, tmp_path: Path) -> None:
    """B11: a task counts among the calls at once, whichever era and session began it."""
    simulator.script(MODEL, *[Answer(text="never", hold="gate")] * 4)
    given: dict[str, Any] = {"principals": {"user": {"calls": 2}}, "jobs": {"grace_seconds": 0.0}}
    async with team_at(simulator.url, tmp_path, **given) as team:

        async def post(message: Any, **headers: str) -> dict[str, Any]:
            answer = await team.peer.post(message, "modern", **headers, **team.headers("user"))
            return answer.messages[-1]["result"]

        request = declared(call(1, "ollama_compare", era="modern", **COMPARE))
        begun = [await post(request) for _ in range(4)]
        refused = [one["content"][0]["text"] for one in begun if "taskId" not in one]
        for task in [one["taskId"] for one in begun if "taskId" in one][2:]:
            async with asyncio.timeout(60):
                while (ended := await post(about("tasks/get", task), Mcp_Name=task))["status"] == "working":
                    pass
            refused.append(ended["result"]["content"][0]["text"])
        assert len(refused) == 2
        assert all("[busy] 'user' has 2 calls running, its limit." in one for one in refused)
        async with team.client("user") as client:
            error(await client.call_tool("ollama_chat", {"model": OTHER, "prompt": "Hi"}), "busy")


async def test_jobs_of_subjects_that_are_named_like_another_owner(simulator: Simulator) -> None:
    """B13: no subject is an owner of jobs that is not a token."""
    simulator.script(MODEL, *[Answer(text="never", hold="gate")] * 3)
    async with served(simulator.url, auth=Vouched()) as url:
        peer = HttpPeer(int(url.split(":")[2].split("/")[0]))

        async def ask(name: str, tool: str, **arguments: Any) -> Any:
            header = {"Authorization": f"Bearer {name.encode().hex()}"}
            answer = await peer.post(call(1, tool, era="modern", **arguments), "modern", **header)
            return answer.messages[-1]["result"]

        begun = await ask("ann", "ollama_generate", model=MODEL, prompt="Hi", background=True)
        job = begun["_meta"]["ollama-mcp-server/job"]["id"]
        for name in ("Ann", "ann ", "token ann", "everybody", "", "session", "*", "local"):
            said = await ask(name or "nobody", "ollama_job", action="cancel", id=job)
            assert said["isError"] and "There is no job" in json.dumps(said), name
        assert not simulator.disconnects
