"""The stdio transport speaks every protocol version, also mixed on one connection."""

from __future__ import annotations

import sys

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.transports.wire import (
    HANDSHAKE_VERSIONS,
    INITIALIZED,
    MODERN_VERSION,
    ROOT,
    SAMPLE,
    StdioPeer,
    call,
    environment,
    initialize,
    modern,
    request,
    text_of,
)


@pytest.mark.parametrize("version", HANDSHAKE_VERSIONS)
def test_each_handshake_version_is_agreed_on_and_serves_tools(shared_stdio: StdioPeer, version: str) -> None:
    assert shared_stdio.handshake(version)["protocolVersion"] == version
    assert "echo" in {tool["name"] for tool in shared_stdio.ask(request(1, "tools/list"))["result"]["tools"]}
    assert text_of(shared_stdio.ask(call(2, "echo", text="hi"))) == "hi"


def test_the_modern_era_needs_no_handshake() -> None:
    with StdioPeer() as peer:
        discovered = peer.ask(modern(1, "server/discover"))["result"]
        assert discovered["supportedVersions"] == [MODERN_VERSION]
        assert text_of(peer.ask(call(2, "echo", era="modern", text="hi"))) == "hi"
        # notifications need no handshake either; an unknown one is ignored
        peer.send({"jsonrpc": "2.0", "method": "notifications/whatever"})
        assert text_of(peer.ask(call(3, "echo", era="modern", text="again"))) == "again"


def test_a_host_may_probe_with_discover_and_then_initialize() -> None:
    with StdioPeer() as peer:
        assert "result" in peer.ask(modern("probe", "server/discover"))
        assert peer.handshake()["protocolVersion"] == "2025-11-25"
        assert text_of(peer.ask(call(1, "echo", text="legacy"))) == "legacy"
        assert text_of(peer.ask(call(2, "echo", era="modern", text="modern"))) == "modern"


def test_requests_in_the_same_write_as_initialize_find_the_session_open() -> None:
    with StdioPeer() as peer:
        peer.send(initialize(1), INITIALIZED, call(2, "echo", text="at once"))
        assert peer.receive()["id"] == 1
        assert text_of(peer.receive()) == "at once"


def test_an_unknown_handshake_version_is_answered_with_one_that_is_served(shared_stdio: StdioPeer) -> None:
    assert shared_stdio.handshake("2099-01-01")["protocolVersion"] == "2025-11-25"


def test_an_unsupported_envelope_version_is_refused_with_the_supported_ones(shared_stdio: StdioPeer) -> None:
    message = modern("odd", "tools/list")
    message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2031-01-01"
    error = shared_stdio.ask(message)["error"]
    assert error["code"] == -32022
    assert error["data"]["supported"] == [MODERN_VERSION]


def test_a_modern_request_for_an_unknown_method_is_an_error(shared_stdio: StdioPeer) -> None:
    assert shared_stdio.ask(modern("odd", "no/such"))["error"]["code"] == -32601


def test_a_modern_request_that_breaks_its_handler_is_an_internal_error(shared_stdio: StdioPeer) -> None:
    error = shared_stdio.ask(modern("odd", "prompts/get", {"name": "explain"}))["error"]
    assert error == {"code": -32603, "message": "Internal server error"}


def test_progress_comes_before_the_result(shared_stdio: StdioPeer) -> None:
    message = call("counted", "counting")
    message["params"]["_meta"] = {"progressToken": "p"}
    shared_stdio.send(message)
    steps = [shared_stdio.receive()["params"]["progress"] for _ in range(3)]
    assert steps == [1, 2, 3]
    assert text_of(shared_stdio.receive()) == "counted"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_sdk_client_works_over_a_real_process(mode: str) -> None:
    server = StdioServerParameters(command=SAMPLE[0], args=[SAMPLE[1], "stdio"], cwd=ROOT, env=environment())
    assert sys.__stderr__ is not None
    async with Client(stdio_client(server, errlog=sys.__stderr__), mode=mode) as client:
        result = await client.call_tool("echo", {"text": "hi"})
        assert [block.model_dump()["text"] for block in result.content] == ["hi"]
        failed = await client.call_tool("failing", {})
        assert failed.is_error
