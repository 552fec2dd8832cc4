"""What the HTTP transports refuse: right status, one log line, and the next client is served."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator

import pytest

from ollama_mcp.server.transports import MAX_MESSAGE_BYTES
from tests.transports.conftest import Serve, Served
from tests.transports.wire import call, initialize, modern, read_answer

PATHS = [
    ("http", "POST", "/mcp"),
    ("http", "GET", "/mcp"),
    ("http", "OPTIONS", "/mcp"),
    ("http", "GET", "/metrics"),
    ("http", "GET", "/.well-known/oauth-protected-resource"),
    ("sse", "GET", "/sse"),
    ("sse", "POST", "/messages/"),
]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Generator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING):
        yield caplog


def lines(log: pytest.LogCaptureFixture) -> list[str]:
    messages = [record.getMessage() for record in log.records]
    assert not any("\n" in message for message in messages)
    assert not any(record.exc_info for record in log.records)
    return messages


async def is_still_served(served: Served) -> bool:
    await_answer = await served.peer.raw("GET /healthz HTTP/1.1\nHost: localhost\n")
    return await_answer.status == 200


def head(method: str, path: str, *fields: str, length: int = 2) -> str:
    lines = [f"{method} {path} HTTP/1.1", *fields, "Content-Type: application/json", f"Content-Length: {length}"]
    return "\n".join([*lines, "Accept: application/json, text/event-stream"]) + "\n"


@pytest.mark.parametrize(("kind", "method", "path"), PATHS)
async def test_a_foreign_host_is_misdirected_on_every_route(
    serve: Serve, log: pytest.LogCaptureFixture, kind: str, method: str, path: str
) -> None:
    async with serve(kind) as served:
        answer = await served.peer.raw(head(method, path, "Host: evil.com"), b"{}")
        assert answer.status == 421
        assert lines(log) == [f"421 to {method} {path!r} from 127.0.0.1: Host 'evil.com' is not allowed"]
        assert await is_still_served(served)


@pytest.mark.parametrize(("kind", "method", "path"), PATHS)
async def test_an_origin_that_is_not_listed_is_forbidden_on_every_route(
    serve: Serve, log: pytest.LogCaptureFixture, kind: str, method: str, path: str
) -> None:
    async with serve(kind) as served:
        for origin in ("http://evil.com", "null", "https://localhost", "http://localhost:3000", ""):
            log.clear()
            answer = await served.peer.raw(head(method, path, "Host: localhost", f"Origin: {origin}"), b"{}")
            assert answer.status == 403, origin
            assert not [name for name, _ in answer.headers if name.startswith("access-control")]
            assert len(lines(log)) == 1


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
async def test_every_loopback_address_is_guarded_alike(serve: Serve, host: str) -> None:
    async with serve(host=host) as served:
        peer = served.peer
        assert (await peer.raw(head("POST", "/mcp", "Host: evil.com"), b"{}")).status == 421
        assert (await peer.raw(head("POST", "/mcp", "Host: localhost", "Origin: http://evil.com"), b"{}")).status == 403
        assert (await peer.post(modern(1, "server/discover"), "modern")).status == 200


LISTED, EVIL = "http://localhost:6274", "http://evil.com"


@pytest.mark.parametrize(
    ("origins", "status"), [([LISTED], 200), ([LISTED, EVIL], 403), ([EVIL, LISTED], 403), ([LISTED, LISTED], 200)]
)
async def test_of_several_origins_each_must_be_listed(serve: Serve, origins: list[str], status: int) -> None:
    async with serve(allowed_origins=[LISTED]) as served:
        request, body = served.peer.head(modern(1, "server/discover"), "modern")
        answer = await served.peer.raw(request + "".join(f"Origin: {origin}\n" for origin in origins), body)
        assert answer.status == status


async def test_a_listed_origin_may_preflight_and_read(serve: Serve) -> None:
    async with serve(allowed_origins=[LISTED]) as served:
        fields = ["Host: localhost", f"Origin: {LISTED}", "Access-Control-Request-Method: POST"]
        fields.append("Access-Control-Request-Headers: content-type, mcp-session-id")
        answer = await served.peer.raw(head("OPTIONS", "/mcp", *fields), b"{}")
        assert (answer.status, answer.header("access-control-allow-origin")) == (200, LISTED)
        answer = await served.peer.post(initialize(), Origin=LISTED)
        assert answer.header("access-control-allow-origin") == LISTED
        assert answer.header("access-control-expose-headers") == "mcp-session-id"


@pytest.mark.parametrize(
    ("start", "status"),
    [
        ("GET /mcp HTTP/1.1\nHost: localhost\nHost: localhost\n", 400),
        ("GET /mcp HTTP/1.0\nHost: localhost\nHost: evil.com\n", 400),
        ("GET /mcp HTTP/1.1\n", 400),
        ("GET /mcp HTTP/1.0\n", 421),
        ("GET /mcp HTTP/1.1\nHost:\n", 421),
        ("GET /mcp HTTP/1.1\nHost: localhost:80.evil.com\n", 421),
        ("GET http://evil.com/mcp HTTP/1.1\nHost: localhost\n", 400),
        ("OPTIONS * HTTP/1.1\nHost: localhost\n", 400),
        ("POST /mcp HTTP/1.1\nHost: localhost\nContent-Length: 2\nTransfer-Encoding: chunked\n", 400),
        ("POST /mcp HTTP/1.1\nHost: localhost\nContent-Length: -1\n", 400),
        ("no http at all\n", 400),
        ("GET /nowhere HTTP/1.1\nHost: localhost\n", 404),
        ("GET /mcp HTTP/1.1\nHost: localhost\nAccept: text/event-stream\n", 400),
        ("GET /mcp HTTP/1.1\nHost: localhost\nAccept: image/png\n", 406),
        ("GET /mcp HTTP/1.1\nHost: localhost\nMCP-Protocol-Version: 2026-07-28\n", 405),
        ("GET /mcp HTTP/1.1\nHost: localhost\nAccept: text/event-stream\nMcp-Session-Id: unknown\n", 404),
        ("PUT /mcp HTTP/1.1\nHost: localhost\n", 405),
        ("BREW /%0a%0dforged HTTP/1.1\nHost: localhost\n", 404),
    ],
)
async def test_a_bad_request_gets_its_status_and_one_log_line(
    serve: Serve, log: pytest.LogCaptureFixture, start: str, status: int
) -> None:
    async with serve() as served:
        assert (await served.peer.raw(start)).status == status
        assert len(lines(log)) == 1
        assert await is_still_served(served)


BODIES: dict[str, tuple[bytes, int]] = {
    "no JSON": (b"{", 400),
    "nothing": (b"", 400),
    "a hundred thousand levels": (b"[" * 100_000, 400),
    "a batch": (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', 400),
    "no request": (b'{"a":1}', 400),
    "a number that is too big": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + b"9" * 5_000 + b"}}", 400),
    "invalid UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', 400),
}


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_no_message_is_a_bad_request(
    serve: Serve, log: pytest.LogCaptureFixture, name: str, version: str
) -> None:
    body, status = BODIES[name]
    async with serve() as served:
        start = head("POST", "/mcp", "Host: localhost", f"MCP-Protocol-Version: {version}", length=len(body))
        assert (await served.peer.raw(start, body)).status == status
        assert len(lines(log)) == 1
        assert await is_still_served(served)


async def test_an_unknown_session_and_an_unknown_version_are_refused(
    serve: Serve, log: pytest.LogCaptureFixture
) -> None:
    async with serve() as served:
        peer = served.peer
        peer.session = "0" * 32
        assert (await peer.post(call(1, "echo", text="x"))).status == 404
        assert (await peer.post(modern(1, "ping"), "modern", MCP_Protocol_Version="2031-01-01")).status == 400
        assert len(lines(log)) == 2


async def test_bad_messages_over_sse_are_refused_in_one_line_each(serve: Serve, log: pytest.LogCaptureFixture) -> None:
    async with serve("sse") as served:
        peer = served.peer
        reader, writer = await peer.open("GET /sse HTTP/1.1\nHost: localhost\n")
        while not (line := (await reader.readline()).decode()).startswith("data: "):
            pass
        endpoint = line.removeprefix("data: ").strip()
        for path, body, status in (
            (endpoint, b"{secret", 400),
            ("/messages/", b"{}", 400),
            ("/messages/?session_id=nonsense", b"{}", 400),
            ("/messages/?session_id=" + "0" * 32, b"{}", 404),
        ):
            log.clear()
            answer = await peer.raw(head("POST", path, "Host: localhost", length=len(body)), body)
            assert answer.status == status
            assert len(lines(log)) == 1
            assert "secret" not in log.text
        assert (await peer.raw("POST /sse HTTP/1.1\nHost: localhost\nContent-Length: 0\n")).status == 404
        assert (await peer.raw("GET /messages/ HTTP/1.1\nHost: localhost\n")).status == 405
        writer.close()


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_a_body_over_the_limit_is_refused_declared_or_chunked(
    serve: Serve, log: pytest.LogCaptureFixture, kind: str
) -> None:
    path = "/mcp" if kind == "http" else "/messages/"
    async with serve(kind) as served:
        declared = head("POST", path, "Host: localhost", length=MAX_MESSAGE_BYTES + 1)
        assert (await served.peer.raw(declared)).status == 413
        chunked = f"POST {path} HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\n"
        reader, writer = await served.peer.open(chunked)
        chunk = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
        for _ in range(MAX_MESSAGE_BYTES // 2**20 + 1):
            writer.write(chunk)
            await writer.drain()
        assert (await read_answer(reader)).status == 413
        writer.close()
        assert len(lines(log)) == 2
        assert await is_still_served(served)


async def test_a_body_that_never_ends_is_given_up(serve: Serve, log: pytest.LogCaptureFixture) -> None:
    async with serve(body_seconds=0.2) as served:
        reader, writer = await served.peer.open(head("POST", "/mcp", "Host: localhost", length=100), b"{")
        assert (await read_answer(reader)).status == 408
        assert await reader.read() == b""
        writer.close()
        assert lines(log) == ["408 to POST '/mcp' from 127.0.0.1: body unfinished after 1 bytes"]


@pytest.mark.parametrize("start", [b"", b"GET /mcp HT"])
async def test_headers_that_never_end_are_given_up(serve: Serve, log: pytest.LogCaptureFixture, start: bytes) -> None:
    async with serve(body_seconds=0.2) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.peer.port)
        writer.write(start)
        while await reader.read(1000):
            pass
        writer.close()
        assert lines(log) == ["no request within 0.2 seconds from 127.0.0.1"]
        assert await is_still_served(served)


async def test_a_kept_connection_outlives_the_limit_for_headers(serve: Serve) -> None:
    async with serve(body_seconds=0.1) as served:
        reader, writer = await served.peer.open("GET /healthz HTTP/1.1\nHost: localhost\n")
        assert (await read_answer(reader)).status == 200
        await asyncio.sleep(0.3)  # more than the limit, to no effect
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await read_answer(reader)).status == 200
        writer.write(b"GET /healthz HTTP")  # but not the headers of its next request
        assert await reader.read() == b""
        writer.close()


async def test_a_request_id_in_flight_is_refused_and_the_first_answered(serve: Serve) -> None:
    async with serve() as served:
        peer = served.peer
        await peer.handshake()
        first = asyncio.create_task(peer.post(call(7, "slow", seconds=0.5, text="first")))
        await served.journal.until("started")
        for twin in (7, "7"):
            assert (await peer.post(call(twin, "echo", text="second"))).status == 409
        assert (await first).messages[-1]["result"]["content"][0]["text"] == "first"
        assert (await peer.post(call(7, "echo", text="third"))).status == 200


async def test_a_readiness_check_that_fails_is_not_ready(serve: Serve, log: pytest.LogCaptureFixture) -> None:
    async with serve(ready=OSError("no disk")) as served:
        assert (await served.peer.raw("GET /readyz HTTP/1.1\nHost: localhost\n")).status == 503
        assert lines(log) == ["the readiness check failed: OSError('no disk')"]


@pytest.mark.parametrize(("kind", "endpoint"), [("http", "/mcp"), ("sse", "/sse")])
async def test_a_browser_is_told_what_this_is_and_how_to_connect(serve: Serve, kind: str, endpoint: str):
    async with serve(kind=kind) as served:
        browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\n"
        for path in ("/", endpoint):
            page = await served.peer.raw(f"GET {path} HTTP/1.1\nHost: localhost:8080\n{browser}")
            assert page.status == 200 and dict(page.headers)["content-type"].startswith("text/plain")
            assert f"http://localhost:8080{endpoint}" in page.body.decode()
        refused = await served.peer.raw(f"GET / HTTP/1.1\nHost: evil.example\n{browser}")
        assert refused.status == 421
        assert (await served.peer.raw(f"POST / HTTP/1.1\nHost: localhost\nContent-Length: 0\n{browser}")).status == 404
        assert await is_still_served(served)
