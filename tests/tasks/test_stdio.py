"""Tasks over stdio, in a process as a host starts it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.jobs.support import WORDS
from tests.support import until
from tests.tasks.support import COMPARE, MODEL, TASKS
from tests.tasks.test_wire import about, declared
from tests.transports.wire import Message, StdioPeer, call, environment, modern

pytestmark = pytest.mark.slow

SERVER = [sys.executable, "-m", "ollama_mcp_server"]


async def ask(host: StdioPeer, message: Message) -> dict[str, Any]:
    """The result of a request, while the simulator of this process goes on."""
    answer = await asyncio.to_thread(host.ask, message)
    assert "result" in answer, answer
    return answer["result"]


async def test_one_host_declares_tasks_on_some_requests_only(simulator: Simulator):
    """As a terminal does whose other mode, over the same pipe, does not take them."""
    gate = asyncio.Event()
    simulator.script(MODEL, *[Answer(text=WORDS, hold=gate) for _ in range(3)])
    variables = {
        **environment(),
        "OLLAMA_HOST": simulator.url,
        "OLLAMA_MCP_STORE__PATH": ":memory:",
        "OLLAMA_MCP_JOBS__GRACE_SECONDS": "0",
        "OLLAMA_MCP_JOBS__CALL_SECONDS": "0.5",
    }
    with StdioPeer(command=SERVER, env=variables) as host:
        found = await ask(host, modern("probe", "server/discover"))
        assert found["capabilities"]["extensions"][TASKS] == {}
        compare = [call(number, "ollama_compare", era="modern", **COMPARE) for number in range(4)]
        task = await ask(host, declared(compare[0]))
        assert (task["resultType"], task["ttlMs"]) == ("task", None)
        plain = await ask(host, compare[1])
        assert plain["resultType"] == "complete" and "taskId" not in plain
        # A session of the handshake, on the same pipe, never gets one.
        host.handshake()
        old = await ask(host, call(2, "ollama_compare", **COMPARE))
        assert "resultType" not in old and "taskId" not in old and old["content"]
        assert (await asyncio.to_thread(host.ask, {**about("tasks/get", task["taskId"]), "id": "g"}))["result"][
            "status"
        ] == "working"
        listening = declared(modern("sub", "subscriptions/listen", {"notifications": {"taskIds": [task["taskId"]]}}))
        host.send(listening)
        told = [await asyncio.to_thread(host.receive) for _ in range(2)]
        assert [one["method"] for one in told] == ["notifications/subscriptions/acknowledged", "notifications/tasks"]
        gate.set()
        done = await asyncio.to_thread(host.receive)
        assert done["params"]["status"] == "completed" and done["params"]["result"]["structuredContent"]["models"]
        # Over stdio all jobs are the one client's.
        for job_id in (plain["_meta"]["ollama-mcp-server/job"]["id"], old["_meta"]["ollama-mcp-server/job"]["id"]):
            assert (await ask(host, about("tasks/get", job_id)))["taskId"] == job_id
        # A task that runs when its host leaves ends with the process.
        simulator.script(MODEL, Answer(text=WORDS, hold=asyncio.Event()))
        assert (await ask(host, declared(compare[3])))["status"] == "working"
        await until(lambda: simulator.in_flight)
        host.close_stdin()
        assert await asyncio.to_thread(host.wait) == 0
        await until(lambda: not simulator.in_flight)
