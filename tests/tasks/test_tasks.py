"""Calls that become MCP Tasks, as a client of the SDK sees them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mcp import Client
from mcp.client.extension import ClaimContext, ResultClaim, advertise
from mcp.types import CallToolResult

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Answer, Simulator
from tests.jobs.support import CHAT, JOB, WORDS, job_of
from tests.support import data, error, served, text, texts, until
from tests.tasks.support import (
    AT_ONCE,
    COMPARE,
    METHODS,
    MODEL,
    MODERN,
    TASKS,
    AnyResult,
    Claimed,
    Task,
    TaskRequest,
    as_wire,
    asked,
    called,
    refused,
    seen,
    task_of,
    with_tasks,
)

CLIENT_WAITS = {"grace_seconds": 60, "call_seconds": 60}


async def test_a_call_that_outlasts_the_grace_becomes_a_task_with_the_result_of_the_call(simulator: Simulator):
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text=WORDS, hold=gate))
    async with with_tasks(simulator.url) as client:
        before = datetime.now(UTC)
        task = await task_of(client, "ollama_compare", COMPARE)
        name = task["taskId"]
        assert re.fullmatch("compare-llama3-2-3b-[0-9a-f]{32}", name)
        created = datetime.fromisoformat(task["createdAt"])
        assert abs(created - before) < timedelta(minutes=1) and task["createdAt"].endswith("Z")
        message = task.pop("statusMessage")
        assert "comparing 2 models" in message
        assert task == {
            "resultType": "task",
            "taskId": name,
            "status": "working",
            "createdAt": task["createdAt"],
            "lastUpdatedAt": task["createdAt"],
            "ttlMs": None,
            "pollIntervalMs": 1_000,
        }
        working = await asked(client, "tasks/get", name)
        assert (working["resultType"], working["status"]) == ("complete", "working")
        assert working["createdAt"] == task["createdAt"]
        assert not working.keys() & {"result", "error", "inputRequests"}
        (row,) = data(await client.call_tool(JOB, {}))["jobs"]
        assert (row["id"], row["tool"], row["state"]) == (name, "ollama_compare", "running")
        gate.set()
        done = await seen(client, name, "completed")
        result = CallToolResult.model_validate(done["result"])
        assert data(result) == data(await client.call_tool(JOB, {"action": "result", "id": name}))
        assert datetime.fromisoformat(done["lastUpdatedAt"]) >= created
        assert done["ttlMs"] >= 3_600_000 and isinstance(done["ttlMs"], int)
        assert "pollIntervalMs" not in done


async def test_a_call_within_the_grace_answers_plainly(simulator: Simulator):
    async with with_tasks(simulator.url, jobs=CLIENT_WAITS) as client:
        result = await called(client, "ollama_compare", COMPARE)
        assert isinstance(result, CallToolResult)
        assert data(result)["models"][0]["answers"][0]["text"]


async def test_what_answers_in_words_waits_as_long_as_its_client(simulator: Simulator):
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text=WORDS, hold=gate), Answer(text=WORDS, hold=asyncio.Event()))
    async with with_tasks(simulator.url, jobs={**AT_ONCE, "call_seconds": 60}) as client:
        call = asyncio.create_task(called(client, "ollama_chat", CHAT))
        await until(lambda: simulator.in_flight)
        gate.set()
        result = await call
        assert isinstance(result, CallToolResult) and text(result) == "One two three"
    async with with_tasks(simulator.url, jobs={**AT_ONCE, "call_seconds": 0.3}) as client:
        task = await task_of(client, "ollama_chat", CHAT)
        assert task["taskId"].startswith("chat-llama3-2-3b-")


async def test_background_makes_a_task_at_once_also_where_nothing_else_gives_results(simulator: Simulator):
    hidden = {"exclude": [JOB]}
    async with with_tasks(simulator.url, jobs=CLIENT_WAITS, tools=hidden) as client:
        task = await task_of(client, "ollama_chat", {**CHAT, "background": True})
        done = await seen(client, task["taskId"], "completed")
        assert "ollama_job" not in str(done)
        assert not CallToolResult.model_validate(done["result"]).is_error


@pytest.mark.parametrize(("mode", "extension"), [("legacy", TASKS), (MODERN, "example.com/other")])
async def test_nobody_else_gets_a_task(simulator: Simulator, mode: str, extension: str):
    settings = Settings.model_validate(
        {"host": simulator.url, "store": {"path": ":memory:"}, "jobs": {**AT_ONCE, "call_seconds": 0.3}}
    )
    simulator.script(MODEL, Answer(text=WORDS, hold=asyncio.Event()))
    async with Client(OllamaServer(settings), mode=mode, extensions=[advertise(extension)]) as client:
        name = job_of(await client.call_tool("ollama_compare", COMPARE))
        for method, more in METHODS:
            refusal = await refused(client, method, name, **more)
            assert refusal.code == (-32601 if mode == "legacy" else -32021)
            if mode == MODERN:
                assert refusal.data == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
        (row,) = data(await client.call_tool(JOB, {}))["jobs"]
        assert row["state"] == "running"


async def test_an_error_of_a_tool_is_a_completed_task(simulator: Simulator):
    simulator.script(MODEL, Answer(error="CUDA error"))
    async with with_tasks(simulator.url) as client:
        task = await task_of(client, "ollama_chat", {**CHAT, "background": True})
        done = await seen(client, task["taskId"], "completed", "failed")
        assert done["status"] == "completed"
        error(CallToolResult.model_validate(done["result"]), "server_error")


async def test_cancelling_frees_the_host_and_may_be_repeated(simulator: Simulator):
    answer = Answer(text=WORDS, hold=asyncio.Event(), hold_after=2)
    simulator.script(MODEL, answer)
    async with with_tasks(simulator.url) as client:
        name = (await task_of(client, "ollama_chat", {**CHAT, "background": True}))["taskId"]
        async with asyncio.timeout(60):
            while "One two" not in (await asked(client, "tasks/get", name))["statusMessage"]:
                pass
        for _ in range(2):
            assert await asked(client, "tasks/cancel", name) == {"resultType": "complete"}
            # The request to the host is closed before the answer.
            assert not simulator.in_flight or (await until(lambda: not simulator.in_flight, 5)) is None
            cancelled = await asked(client, "tasks/get", name)
            assert cancelled["status"] == "cancelled" and "result" not in cancelled
        assert await asked(client, "tasks/update", name, inputResponses={"input-1": {"action": "accept"}}) == {
            "resultType": "complete"
        }
        assert texts(await client.call_tool(JOB, {"action": "result", "id": name}))[0] == "One two "
    assert len(simulator.disconnects) == 1


async def test_cancelling_what_has_ended_changes_nothing(simulator: Simulator):
    async with with_tasks(simulator.url) as client:
        name = (await task_of(client, "ollama_chat", {**CHAT, "background": True}))["taskId"]
        done = await seen(client, name, "completed")
        assert await asked(client, "tasks/cancel", name) == {"resultType": "complete"}
        assert await asked(client, "tasks/get", name) == done


@pytest.mark.parametrize(
    "task_id", ["", "nothing", "chat-llama3-2-3b-" + 32 * "0", "../../etc/passwd", "ü" * 5_000, 7, None]
)
async def test_ids_that_are_none_are_invalid_params(simulator: Simulator, task_id: Any):
    async with with_tasks(simulator.url) as client:
        for method, more in METHODS:
            refusal = await refused(client, method, task_id, **more)
            assert refusal.code == -32602
            assert len(refusal.message) < 400
        assert (await refused(client, "tasks/update", "nothing", inputResponses=[])).code == -32602


async def test_two_hundred_tasks_at_once_each_give_their_own_result(simulator: Simulator):
    many = {**AT_ONCE, "limit": 200}
    async with with_tasks(simulator.url, jobs=many) as client:
        prompts = [{"model": MODEL, "prompt": f"Say {number}.", "background": True} for number in range(200)]
        tasks = await asyncio.gather(*(task_of(client, "ollama_chat", prompt) for prompt in prompts))
        names = [task["taskId"] for task in tasks]
        assert len(set(names)) == 200
        # One after another: two hundred that ask all the time would leave no time for the work.
        done = [await seen(client, name, "completed", "failed", "cancelled") for name in names]
    assert {one["status"] for one in done} == {"completed"}
    assert [one["taskId"] for one in done] == names


@pytest.mark.parametrize("exclude", [[], [JOB]])
async def test_of_a_long_result_the_client_gets_what_it_takes(simulator: Simulator, exclude: list[str]):
    simulator.script(MODEL, Answer(text=[f"{number} " for number in range(4_000)]))
    limits = {"answer_chars": 5_000}
    async with with_tasks(simulator.url, limits=limits, tools={"exclude": exclude}) as client:
        name = (await task_of(client, "ollama_chat", {**CHAT, "background": True}))["taskId"]
        for _ in range(2):
            done = await seen(client, name, "completed")
            assert len(json.dumps(done["result"]["content"])) < 5_500
            note = done["result"]["content"][0]["text"]
            assert (name in note) == (not exclude), note


class Transparent(Claimed):
    """Waits for each task, so that its user sees results of calls only."""

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Task, resolve=self._resolve)]

    async def _resolve(self, task: Task, context: ClaimContext) -> CallToolResult:
        while True:
            request = TaskRequest(method="tasks/get", params={"taskId": task.task_id})
            now = as_wire(await context.session.send_request(request, AnyResult))
            if now["status"] == "completed":
                return CallToolResult.model_validate(now["result"])
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stateless", [False, True])
async def test_over_http_a_client_may_hide_tasks_from_its_user(simulator: Simulator, stateless: bool):
    async with (
        served(simulator.url, stateless=stateless, jobs=AT_ONCE) as url,
        Client(url, mode=MODERN, extensions=[Transparent()]) as client,
    ):
        result = await client.call_tool("ollama_compare", COMPARE)
        assert data(result)["models"][0]["answers"][0]["text"]
        wrong = await client.call_tool("ollama_chat", {"model": "absent", "prompt": "Hi", "background": True})
        error(wrong, "model_not_found")
