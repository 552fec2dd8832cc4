"""Tasks as JSON-RPC over streamable HTTP, where each request stands for itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from ollama_mcp.simulator import Answer, Fault, Simulator
from tests.jobs.support import WORDS
from tests.support import served, until
from tests.tasks.support import AT_ONCE, COMPARE, METHODS, MODEL, TASKS
from tests.transports.wire import Answer as HttpAnswer
from tests.transports.wire import HttpPeer, Message, call, modern

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
LATER = {**AT_ONCE, "call_seconds": 0.3}


def declared(message: Message, **more: Any) -> Message:
    """A request that declares the extension."""
    capabilities = message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"]
    capabilities |= {"extensions": {TASKS: {}}, **more}
    return message


def about(method: str, task_id: str, **more: Any) -> Message:
    """A request about a task."""
    return declared(modern(7, method, {"taskId": task_id, **more}))


class Peer(HttpPeer):
    """A client over HTTP that follows the rules for tasks."""

    async def ask(self, message: Message, **headers: str) -> HttpAnswer:
        """The answer to a request; one about a task names it in its header."""
        task_id = message["params"].get("taskId")
        named = {"Mcp_Name": task_id} if isinstance(task_id, str) else {}
        return await self.post(message, "modern", **{**named, **headers})

    async def result(self, message: Message) -> dict[str, Any]:
        """The result of a request."""
        answer = await self.ask(message)
        assert answer.status == 200, answer
        return answer.messages[-1]["result"]

    async def ended(self, task_id: str) -> dict[str, Any]:
        """A task once it has ended."""
        async with asyncio.timeout(60):
            while True:
                task = await self.result(about("tasks/get", task_id))
                if task["status"] not in ("working", "input_required"):
                    return task
                await asyncio.sleep(0.01)


@asynccontextmanager
async def peer(
    simulator: Simulator, *, stateless: bool = False, jobs: dict[str, Any] = AT_ONCE, **settings: Any
) -> AsyncGenerator[Peer]:
    """A client of a server over HTTP in this process."""
    async with served(simulator.url, stateless=stateless, jobs=jobs, **settings) as url:
        yield Peer(urlsplit(url).port or 0)


@pytest.mark.parametrize("stateless", [False, True])
async def test_only_the_request_that_declares_the_extension_gets_a_task(simulator: Simulator, stateless: bool):
    gates = [asyncio.Event() for _ in range(3)]
    simulator.script(MODEL, *(Answer(text=WORDS, hold=gate) for gate in gates))
    compare = call(1, "ollama_compare", era="modern", **COMPARE)
    async with peer(simulator, stateless=stateless, jobs=LATER) as client:
        first = await client.result(declared(json.loads(json.dumps(compare))))
        assert first["resultType"] == "task" and first["ttlMs"] is None
        plain = await client.result(compare)
        assert plain["resultType"] == "complete" and "taskId" not in plain
        assert plain["_meta"]["ollama-mcp-server/job"]["id"] != first["taskId"]
        again = await client.result(declared(json.loads(json.dumps(compare))))
        assert again["resultType"] == "task" and again["taskId"] != first["taskId"]
        for gate in gates:
            gate.set()
        done = await client.ended(first["taskId"])
        assert done["resultType"] == "complete" and done["result"]["structuredContent"]["models"]
        # The task of the plain call is one for whoever declares the extension and knows its id.
        assert (await client.ended(plain["_meta"]["ollama-mcp-server/job"]["id"]))["status"] == "completed"


async def test_whoever_does_not_declare_the_extension_is_told_what_is_missing(simulator: Simulator):
    async with peer(simulator) as client:
        for method, more in METHODS:
            answer = await client.ask(modern(1, method, {"taskId": "any", **more}))
            assert answer.status == 400
            failure = answer.messages[0]["error"]
            assert failure["code"] == -32021
            assert failure["data"] == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
        listen = modern(1, "subscriptions/listen", {"notifications": {"taskIds": []}})
        assert (await client.ask(listen)).messages[0]["error"]["code"] == -32021


@pytest.mark.parametrize("method", ["tasks/list", "tasks/result", "tasks/"])
async def test_methods_of_the_older_form_do_not_exist(simulator: Simulator, method: str):
    async with peer(simulator) as client:
        answer = await client.ask(declared(modern(1, method, {"taskId": "any"})))
        assert (answer.status, answer.messages[0]["error"]["code"]) == (404, -32601)


async def test_the_header_must_name_the_task(simulator: Simulator):
    simulator.script(MODEL, Answer(text=WORDS, hold=asyncio.Event()))
    async with peer(simulator) as client:
        name = (await client.result(declared(call(1, "ollama_compare", era="modern", **COMPARE))))["taskId"]
        for method, more in METHODS:
            for wrong in (
                await client.post(about(method, name, **more), "modern"),
                await client.ask(about(method, name, **more), Mcp_Name="other"),
            ):
                assert wrong.status == 400
                assert wrong.messages[0]["error"]["code"] == -32020
        assert (await client.result(about("tasks/get", name)))["status"] == "working"


@pytest.mark.parametrize("params", [{}, {"taskId": None}, {"taskId": 7}, {"taskId": ["a"]}, {"task_id": "a"}])
async def test_params_without_an_id_are_invalid(simulator: Simulator, params: dict[str, Any]):
    async with peer(simulator) as client:
        for method, more in METHODS:
            answer = await client.ask(declared(modern(1, method, {**params, **more})))
            assert answer.messages[0]["error"]["code"] == -32602
        missing = await client.ask(about("tasks/update", "any"))
        assert missing.messages[0]["error"]["code"] == -32602


async def test_the_task_of_a_session_is_no_one_elses(simulator: Simulator):
    simulator.script(MODEL, Answer(text=WORDS, hold=asyncio.Event()))
    async with peer(simulator, jobs=LATER) as client:
        await client.handshake()
        plain = await client.post(call(1, "ollama_compare", **dict[str, Any](COMPARE)))
        name = plain.messages[-1]["result"]["_meta"]["ollama-mcp-server/job"]["id"]
        for method, more in METHODS:
            answer = await client.ask(about(method, name, **more))
            assert answer.messages[0]["error"]["code"] == -32602
        assert simulator.in_flight


async def test_a_task_whose_client_went_away_goes_on(simulator: Simulator):
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text=WORDS, hold=gate))
    async with peer(simulator, stateless=True) as client:
        name = (await client.result(declared(call(1, "ollama_compare", era="modern", **COMPARE))))["taskId"]
        await until(lambda: simulator.in_flight)
        assert not simulator.disconnects
        gate.set()
        done = await Peer(client.port).ended(name)
        assert done["status"] == "completed" and done["result"]["structuredContent"]["models"][0]["answered"] == 1
        assert not simulator.disconnects


async def test_a_client_that_leaves_before_its_call_is_a_task_cancels_it(simulator: Simulator):
    simulator.script(MODEL, Answer(text=WORDS, hold=asyncio.Event()))
    async with peer(simulator, jobs={"grace_seconds": 60, "call_seconds": 60}) as client:
        message = declared(call(1, "ollama_compare", era="modern", **COMPARE))
        writer = await client.begin(message, "modern")
        await until(lambda: simulator.in_flight)
        writer.close()
        await until(lambda: simulator.disconnects)


async def test_a_hint_of_the_older_form_changes_nothing(simulator: Simulator):
    async with peer(simulator, jobs={"grace_seconds": 60}) as client:
        message = declared(call(1, "ollama_compare", era="modern", **COMPARE))
        message["params"]["task"] = {"ttl": 60_000, "pollInterval": 100}
        assert (await client.result(message))["resultType"] == "complete"


async def test_the_extension_is_declared_by_discovery_and_by_no_handshake(simulator: Simulator):
    async with peer(simulator) as client:
        found = await client.result(modern(1, "server/discover"))
        assert found["capabilities"]["extensions"][TASKS] == {}
        assert "tasks" not in found["capabilities"]
        assert "extensions" not in (await client.handshake())["capabilities"]


class Stream:
    """A stream of subscriptions/listen."""

    def __init__(self, client: HttpPeer, headers: Mapping[str, str] = {}, **notifications: Any) -> None:
        self._client, self._headers = client, headers
        self._asked = declared(modern("sub", "subscriptions/listen", {"notifications": notifications}))

    async def __aenter__(self) -> Stream:
        self._reader, self._writer = await self._client.open(*self._client.head(self._asked, "modern", **self._headers))
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def next(self) -> Message:
        """The next message."""
        async with asyncio.timeout(60):
            while not (line := await self._reader.readline()).startswith(b"data:"):
                assert line, "the stream has ended"
        message: Message = json.loads(line.removeprefix(b"data:"))
        assert message["params"]["_meta"][SUBSCRIPTION] == "sub"
        return message


async def test_changes_of_a_task_are_told_in_full_to_who_listens(simulator: Simulator):
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text=WORDS, hold=gate), Answer(text=WORDS))
    async with peer(simulator) as client:
        message = declared(call(1, "ollama_compare", era="modern", **COMPARE))
        name = (await client.result(message))["taskId"]
        ended = (
            await client.result(
                declared(call(1, "ollama_chat", era="modern", model="qwen3:8b", prompt="x", background=True))
            )
        )["taskId"]
        await client.ended(ended)
        uri = "ollama://running"
        async with Stream(
            client, taskIds=[name, ended, name, "unknown"], toolsListChanged=False, resourceSubscriptions=[uri]
        ) as stream:
            acknowledged = await stream.next()
            assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
            assert acknowledged["params"]["notifications"] == {"taskIds": [name, ended], "resourceSubscriptions": [uri]}
            now = {one["params"]["taskId"]: one for one in (await stream.next(), await stream.next())}
            assert {one["method"] for one in now.values()} == {"notifications/tasks"}
            assert now[name]["params"]["status"] == "working" and "result" not in now[name]["params"]
            assert now[ended]["params"]["result"]["content"]
            gate.set()
            told: dict[str, Message] = {}
            while len(told) < 2:
                found = await stream.next()
                told[found["method"]] = found
            assert told["notifications/resources/updated"]["params"]["uri"] == uri
            done = told["notifications/tasks"]["params"]
            assert done.pop("_meta") == {SUBSCRIPTION: "sub"}
            got = await client.result(about("tasks/get", name))
            assert done == {key: value for key, value in got.items() if key not in ("_meta", "resultType")}
            assert done["status"] == "completed"


async def test_a_question_and_its_answer_are_told(simulator: Simulator):
    simulator.faults.add(Fault("delay", path="/api/pull", seconds=0.5))
    pull = declared(call(1, "ollama_pull_model", era="modern", model="smollm2:135m"), elicitation={"form": {}})
    async with peer(simulator, limits={"pull_confirm_gb": 0.1}) as client:
        name = (await client.result(pull))["taskId"]
        async with Stream(client, taskIds=[name]) as stream:
            await stream.next()
            statuses: list[str] = []
            while "completed" not in statuses:
                task = (await stream.next())["params"]
                statuses.append(task["status"])
                if task["status"] == "input_required":
                    answers = {key: {"action": "accept"} for key in task["inputRequests"]}
                    await client.result(about("tasks/update", name, inputResponses=answers))
            assert statuses == ["working", "input_required", "working", "completed"]


@pytest.mark.parametrize("task_ids", ["name", [7], {"a": 1}, None])
async def test_ids_to_listen_to_are_a_list_of_strings(simulator: Simulator, task_ids: Any):
    async with peer(simulator) as client:
        listen = declared(modern(1, "subscriptions/listen", {"notifications": {"taskIds": task_ids}}))
        assert (await client.ask(listen)).messages[0]["error"]["code"] == -32602
