"""The HTTP transports speak every protocol version to every kind of client."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp.client import Client
from mcp.client.sse import sse_client

from tests.transports.conftest import Serve
from tests.transports.wire import (
    HANDSHAKE_VERSIONS,
    INITIALIZED,
    MODERN_VERSION,
    call,
    initialize,
    modern,
    read_answer,
    request,
    text_of,
)


@pytest.mark.parametrize("stateless", [False, True])
@pytest.mark.parametrize("version", HANDSHAKE_VERSIONS)
async def test_each_handshake_version_serves_tools(serve: Serve, version: str, stateless: bool) -> None:
    async with serve(stateless=stateless) as served:
        peer = served.peer
        assert (await peer.handshake(version))["protocolVersion"] == version
        assert (peer.session is None) == stateless
        answer = await peer.post(call(1, "echo", text="hi"), MCP_Protocol_Version=version)
        assert answer.status == 200
        assert text_of(answer.messages[-1]) == "hi"


async def test_the_modern_era_needs_no_session(serve: Serve) -> None:
    async with serve() as served:
        answer = await served.peer.post(modern(1, "server/discover"), "modern")
        assert answer.messages[0]["result"]["supportedVersions"] == [MODERN_VERSION]
        answer = await served.peer.post(call(2, "echo", era="modern", text="hi"), "modern")
        assert text_of(answer.messages[0]) == "hi"
        assert answer.header("mcp-session-id") is None


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_progress_streams_before_the_result(serve: Serve, era: str) -> None:
    async with serve() as served:
        peer = served.peer
        await peer.handshake()
        message = call(1, "counting", era=era)
        message["params"].setdefault("_meta", {})["progressToken"] = "p"
        answer = await peer.post(message, era)
        assert (answer.header("content-type") or "").startswith("text/event-stream")
        *steps, last = answer.messages
        assert [step["params"]["progress"] for step in steps] == [1, 2, 3]
        assert text_of(last) == "counted"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("stateless", [False, True])
async def test_the_sdk_client_works_over_streamable_http(
    serve: Serve, mode: Literal["legacy", "auto"], stateless: bool
) -> None:
    async with serve(stateless=stateless) as served, Client(served.url, mode=mode) as client:
        result = await client.call_tool("echo", {"text": "hi"})
        assert [block.model_dump()["text"] for block in result.content] == ["hi"]
        assert (await client.call_tool("failing", {})).is_error


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_sdk_client_works_over_sse(serve: Serve, mode: Literal["legacy", "auto"]) -> None:
    async with serve("sse") as served:
        for _ in range(2):
            async with Client(sse_client(served.url), mode=mode) as client:
                result = await client.call_tool("echo", {"text": "hi"})
                assert [block.model_dump()["text"] for block in result.content] == ["hi"]
        assert served.journal.entries == ["lifespan open"]
    assert served.journal.entries == ["lifespan open", "lifespan closed"]


async def test_a_large_body_and_a_large_answer_pass(serve: Serve) -> None:
    async with serve() as served:
        text = "z" * 6_000_000
        answer = await served.peer.post(call(1, "echo", era="modern", text=text), "modern")
        assert text_of(answer.messages[0]) == text


async def test_a_unix_socket_serves(serve: Serve, tmp_path: Path) -> None:
    path = str(tmp_path / "mcp.sock")
    async with serve(uds=path) as served:
        assert served.url == path
        reader, writer = await asyncio.open_unix_connection(path)
        body = json.dumps(initialize()).encode()
        head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        head += f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        assert (await read_answer(reader)).messages[-1]["result"]["serverInfo"]["name"] == "sample"
        writer.close()
    assert not await asyncio.to_thread(Path(path).exists)


async def test_ipv6_loopback_serves(serve: Serve) -> None:
    async with serve(host="::1") as served:
        assert served.url.startswith("http://[::1]:")
        assert (await served.peer.post(modern(1, "server/discover"), "modern")).status == 200


@pytest.mark.parametrize("ready", [True, False])
async def test_the_probes_answer_barely_whatever_the_host(serve: Serve, ready: bool) -> None:
    async with serve(ready=ready) as served:
        for path, status, body in (
            ("healthz", 200, b"ok"),
            ("readyz", *((200, b"ok") if ready else (503, b"not ready"))),
        ):
            answer = await served.peer.raw(f"GET /{path} HTTP/1.1\nHost: evil.com\nOrigin: http://evil.com\n")
            assert (answer.status, answer.body) == (status, body)
            assert not [name for name, _ in answer.headers if name.startswith("access-control")]
        assert (await served.peer.raw("POST /readyz HTTP/1.1\nHost: localhost\nContent-Length: 9\n")).status == 405


async def test_a_deleted_session_is_gone(serve: Serve) -> None:
    async with serve() as served:
        peer = served.peer
        await peer.handshake()
        head = f"DELETE /mcp HTTP/1.1\nHost: localhost\nMcp-Session-Id: {peer.session}\n"
        assert (await peer.raw(head)).status == 200
        assert (await peer.post(call(1, "echo", text="x"))).status == 404


async def test_a_session_has_its_standing_event_stream(serve: Serve) -> None:
    async with serve() as served:
        peer = served.peer
        await peer.handshake()
        head = f"GET /mcp HTTP/1.1\nHost: localhost\nAccept: text/event-stream\nMcp-Session-Id: {peer.session}\n"
        reader, writer = await peer.open(head)
        assert b" 200 " in await reader.readline()
        writer.close()


async def test_cancelling_by_a_notification_frees_the_call(serve: Serve) -> None:
    async with serve() as served:
        peer = served.peer
        await peer.handshake()
        writer = await peer.begin(call(1, "slow"))
        await served.journal.until("started")
        cancel: dict[str, Any] = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        assert (await peer.post(cancel)).status == 202
        await served.journal.until("cancelled")
        writer.close()


async def test_without_sessions_a_cancel_finds_no_call_and_closing_the_connection_frees_it(serve: Serve) -> None:
    async with serve(stateless=True) as served:
        peer = served.peer
        writer = await peer.begin(call(1, "slow"))
        await served.journal.until("started")
        cancel: dict[str, Any] = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        assert (await peer.post(cancel)).status == 202
        assert (await peer.post(request(2, "ping"))).status == 200
        assert "cancelled" not in served.journal.entries
        writer.close()
        await served.journal.until("cancelled")


async def test_initialized_and_ping_are_answered(serve: Serve) -> None:
    async with serve() as served:
        peer = served.peer
        await peer.handshake()
        assert (await peer.post(INITIALIZED)).status == 202
        assert (await peer.post(request(1, "ping"))).messages[-1]["result"] == {}
