"""Calls that take the direct way over stdio, beside the same messages on the SDK's own way: no byte may differ."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.shared.message import SessionMessage
from mcp.types import CallToolResult, JSONRPCRequest, TextContent, jsonrpc_message_adapter
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import BaseModel

from ollama_mcp.server.sdk import lowlevel_server, remove_tracing
from ollama_mcp.server.transports.connection import serve_stream
from ollama_mcp.server.transports.direct_calls import DirectCalls
from tests.transports.sample import Journal, sample_server
from tests.transports.wire import Message

CLIENT: dict[str, Any] = {"capabilities": {"elicitation": {}}, "clientInfo": {"name": "test", "version": "1"}}
CALLS: dict[str, dict[str, Any] | None] = {
    "plain": {"name": "echo", "arguments": {"text": "über \U0001f600 \u2028"}},
    "half a pair": {"name": "odd", "arguments": {}},
    "more than text": {"name": "rich"},
    "progress": {"name": "counting", "arguments": {}, "_meta": {"progressToken": "p"}},
    "other meta": {"name": "echo", "arguments": {"text": "a"}, "_meta": {"trace": {"a": [1]}, "progressToken": 7}},
    "an error": {"name": "failing"},
    "wrong arguments": {"name": "echo", "arguments": {"text": 5}},
    "no arguments": {"name": "echo", "arguments": None},
    "no such tool": {"name": "nothing"},
    "a list for arguments": {"name": "echo", "arguments": ["a"]},
    "no name": {"arguments": {}},
    "no params": None,
    "more params": {"name": "echo", "arguments": {"text": "a"}, "task": {"ttl": 5}},
    "a state": {"name": "echo", "arguments": {"text": "a"}, "requestState": "x"},
    "a broken token": {"name": "echo", "arguments": {"text": "a"}, "_meta": {"progressToken": True}},
    "a question": {"name": "asking"},
}


class Choice(BaseModel):
    """What is asked for."""

    yes: bool


def server() -> MCPServer:
    """The sample server, with tools that say and ask more."""
    made = sample_server(Journal())

    async def odd() -> CallToolResult:
        return CallToolResult(content=[TextContent(type="text", text="cut \ud83d")])

    async def rich() -> CallToolResult:
        text = TextContent(type="text", text="a", _meta={"b": 1.5})
        return CallToolResult(content=[text], structured_content={"n": 1e16, "none": None}, _meta={"usage": {"s": 0.1}})

    async def asking(context: Context) -> str:
        answer = await context.elicit("Sure?", Choice)
        return str(answer.action)

    for tool in (odd, rich, asking):
        made.add_tool(tool)
    return made


class Client:
    """The client's side of a connection in memory."""

    def __init__(
        self, outgoing: MemoryObjectSendStream[Any], incoming: MemoryObjectReceiveStream[SessionMessage]
    ) -> None:
        self._outgoing, self._incoming = outgoing, incoming

    async def send(self, message: Message) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message})
        await self._outgoing.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))

    async def receive(self) -> str:
        with anyio.fail_after(30):
            message = (await self._incoming.receive()).message
        return repr(message.model_dump(by_alias=True, exclude_unset=True))

    async def until_answered(self, number: int) -> list[str]:
        """All messages up to the answer to a request; a question in between is declined."""
        seen: list[str] = []
        while not seen or f"'id': {number}," not in seen[-1]:
            seen.append(await self.receive())
            if "elicitation/create" in seen[-1]:
                await self.send({"id": 1, "result": {"action": "decline"}})
        return seen


@asynccontextmanager
async def connected(version: str) -> AsyncGenerator[Client]:
    """A client of that protocol version."""
    core = server()
    remove_tracing(core)
    to_server, source = anyio.create_memory_object_stream[SessionMessage | Exception](10)
    sink, from_server = anyio.create_memory_object_stream[SessionMessage](10)
    async with to_server, source, sink, from_server, anyio.create_task_group() as group:
        group.start_soon(serve_stream, lowlevel_server(core), source, sink, None)
        client = Client(to_server, from_server)
        await client.send({"id": 1, "method": "initialize", "params": {"protocolVersion": version, **CLIENT}})
        assert version in await client.receive()
        await client.send({"method": "notifications/initialized"})
        yield client
        group.cancel_scope.cancel()


async def heard(version: str) -> dict[str, list[str]]:
    """What comes for each call."""
    async with connected(version) as client:
        answers: dict[str, list[str]] = {}
        for number, (name, params) in enumerate(CALLS.items(), 10):
            given = {} if params is None else {"params": params}
            await client.send({"id": number, "method": "tools/call", **given})
            answers[name] = await client.until_answered(number)
        return answers


@pytest.mark.parametrize("version", HANDSHAKE_PROTOCOL_VERSIONS)
async def test_the_direct_way_says_what_the_sdk_says(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []
    take = DirectCalls.take

    def noted(self: DirectCalls, request: JSONRPCRequest) -> bool:
        taken.append(take(self, request))
        return taken[-1]

    monkeypatch.setattr(DirectCalls, "take", noted)
    ours = await heard(version)
    assert sum(taken) >= 9
    monkeypatch.setattr(DirectCalls, "take", lambda self, request: False)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    theirs = await heard(version)
    assert ours == theirs


async def test_the_id_of_a_cancelled_call_is_free_again() -> None:
    async with connected("2025-11-25") as client:
        cancelled = {"method": "notifications/cancelled", "params": {"requestId": 5}}
        call = {"id": 5, "method": "tools/call", "params": {"name": "slow", "arguments": {"seconds": 0}}}
        await client.send({**call, "params": {"name": "slow", "arguments": {}}})
        await client.send(cancelled)
        await client.send(call)
        while "in flight" in (answer := await client.receive()):
            # The end of the first one takes a moment.
            await client.send(call)
        assert "slept" in answer


async def test_calls_in_flight_are_told_when_the_connection_ends() -> None:
    core = server()
    remove_tracing(core)
    to_server, source = anyio.create_memory_object_stream[SessionMessage | Exception](10)
    sink, from_server = anyio.create_memory_object_stream[SessionMessage](10)
    async with to_server, source, sink, from_server, anyio.create_task_group() as group:
        group.start_soon(serve_stream, lowlevel_server(core), source, sink, None)
        client = Client(to_server, from_server)
        await client.send({"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18", **CLIENT}})
        await client.receive()
        meta = {"progressToken": 1}
        await client.send({"id": 2, "method": "tools/call", "params": {"name": "streaming", "_meta": meta}})
        assert "notifications/progress" in await client.receive()
        await to_server.aclose()
        assert "Connection closed" in await client.receive()


async def test_ids_that_the_sdk_takes_for_one_are_both_answered(caplog: pytest.LogCaptureFixture) -> None:
    async with connected("2025-11-25") as client:
        for number in (7, "7"):
            params = {"name": "slow", "arguments": {"seconds": 0.05}}
            await client.send({"id": number, "method": "tools/call", "params": params})
        assert "7" in await client.receive()
        assert "7" in await client.receive()
        await client.send({"id": 8, "method": "tools/call", "params": {"name": "slow", "arguments": {"seconds": 0}}})
        assert "slept" in await client.receive()
    assert not [record for record in caplog.records if record.name == "asyncio"]
