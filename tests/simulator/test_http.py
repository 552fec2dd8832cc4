"""HTTP as the simulator speaks it: requests over real connections, and the connection on a fake transport."""

from __future__ import annotations

import asyncio
import json
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from ollama_mcp.simulator import Answer, Simulator
from ollama_mcp.simulator.http import Connection, HttpRequest
from tests.simulator.helpers import CHAT, EMBEDDER, user


async def _raw(simulator: Simulator, data: bytes, *more: bytes) -> bytes:
    """Write the portions one after another and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(simulator.url.rsplit(":", 1)[1]))
    try:
        for portion in (data, *more):
            writer.write(portion)
            await writer.drain()
        return await reader.read()
    finally:
        writer.close()


def _post(body: bytes, extra: str = "Connection: close\r\n") -> bytes:
    head = f"POST /api/embed HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    "body",
    [
        b'{"MODEL": "nomic-embed-text", "Input": ""}',
        b'{"model": "nomic-embed-text", "input": ""} and more',
        b'{"model": "wrong", "model": "nomic-embed-text", "bogus": {}}',
        b'  {"model": "nomic-embed-text", "truncate": null}',
    ],
)
async def test_bodies_are_parsed_as_leniently_as_go_does(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/api/embed", content=body, headers={"Content-Type": "text/plain"})
    assert answer.json()["embeddings"] == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "missing request body"),
        (b"{", "unexpected EOF"),
        (b'{"model": "a', "unexpected EOF"),
        (b"nope", "invalid character 'o' in literal"),
        (b'{"model" 1}', "invalid character '1' after object key"),
        (b'{"a": 1 "b": 2}', "invalid character '\"' after object key:value pair"),
        (b"{1: 2}", "invalid character '1' looking for beginning of object key string"),
        (b'{"model": NaN}', "invalid character 'N' looking for beginning of value"),
        (b"[1]", "json: cannot unmarshal array into Go value of type api.EmbedRequest"),
        (b'{"model": 5}', "json: cannot unmarshal number into Go struct field EmbedRequest.model of type string"),
        (b'{"options": []}', "json: cannot unmarshal array into Go struct field EmbedRequest.options of type map"),
        (b'{"truncate": "x"}', "json: cannot unmarshal string into Go struct field EmbedRequest.truncate of type bool"),
    ],
)
async def test_invalid_bodies_are_rejected_with_gos_errors(client: httpx.AsyncClient, body: bytes, error: str) -> None:
    answer = await client.post("/api/embed", content=body)
    assert answer.status_code == 400
    if error.endswith("in literal"):
        error = "invalid character 'n' looking for beginning of value"
    assert answer.json()["error"].startswith(error)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (
            {"role": "user", "content": ["x"]},
            "json: cannot unmarshal array into Go struct field ChatRequest.messages.content",
        ),
        ("x", "json: cannot unmarshal string into Go struct field ChatRequest.messages of type Message"),
        ({"role": "user", "images": ["data:image/png;base64,AA=="]}, "illegal base64 data at input byte 4"),
        ({"role": "user", "images": ["AAA"]}, "illegal base64 data at input byte 0"),
        (
            {"role": "user", "images": [5]},
            "json: cannot unmarshal number into Go struct field ChatRequest.messages.images",
        ),
    ],
)
async def test_invalid_messages_are_rejected(client: httpx.AsyncClient, message: object, error: str) -> None:
    answer = await client.post("/api/chat", json={"model": CHAT, "messages": [message]})
    assert (answer.status_code, answer.json()["error"][: len(error)]) == (400, error)


async def test_messages_that_are_not_a_list_are_rejected(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/chat", json={"model": CHAT, "messages": "x"})
    assert "of type []api.Message" in answer.json()["error"]


async def test_a_chunked_request_is_reassembled(simulator: Simulator) -> None:
    head = b"POST /api/embed HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b'{"model": "nomic-embed-text"}'
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:]))
    whole = chunks + b"0\r\n\r\n"
    assert b'"embeddings":[]' in await _raw(simulator, head + whole)
    assert b'"embeddings":[]' in await _raw(simulator, head, *(whole[at : at + 3] for at in range(0, len(whole), 3)))


async def test_requests_can_be_pipelined(simulator: Simulator) -> None:
    body = b'{"model": "nomic-embed-text"}'
    answer = await _raw(simulator, _post(body, "") + _post(body))
    assert answer.count(b"200 OK") == 2


async def test_expect_100_continue_is_answered(simulator: Simulator) -> None:
    answer = await _raw(simulator, _post(b'{"model": "x"}', "Expect: 100-continue\r\nConnection: close\r\n"))
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 1_100_000, b"431"),
        (b"POST /api/embed HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    ],
)
async def test_an_invalid_request_is_rejected(simulator: Simulator, data: bytes, status: bytes) -> None:
    assert (await _raw(simulator, data)).split()[1] == status


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:11434", "[::1]:80", "10.1.2.3", "box.local", "a.internal"])
async def test_local_hosts_are_served(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/api/version", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Host": "8.8.8.8"}, {"Origin": "https://evil.example"}])
async def test_foreign_hosts_and_origins_get_403_without_a_body(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.get("/api/version", headers=headers)
    assert (answer.status_code, answer.content) == (403, b"")


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1", "app://x", "vscode-webview://y"])
async def test_local_origins_are_served(client: httpx.AsyncClient, origin: str) -> None:
    assert (await client.get("/api/version", headers={"Origin": origin})).status_code == 200


async def test_a_wrong_method_lists_the_allowed_ones(client: httpx.AsyncClient) -> None:
    answer = await client.put("/api/tags")
    assert (answer.status_code, answer.headers["allow"]) == (405, "HEAD, GET")
    assert (await client.head("/")).content == b""


async def test_a_client_that_does_not_read_blocks_only_its_own_response(
    simulator: Simulator, client: httpx.AsyncClient
) -> None:
    simulator.script(CHAT, Answer([f"{number:100000}" for number in range(200)]))
    body = json.dumps({"model": CHAT, "messages": user("x")}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(simulator.url.rsplit(":", 1)[1]), limit=65_536)
    head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    for _ in range(50):
        await client.get("/api/version")
    assert [seen.path for seen in simulator.in_flight] == ["/api/chat"]
    assert (await reader.read()).count(b'"done":false') == 200
    writer.close()


async def test_a_large_body_is_accepted(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/embed", json={"model": EMBEDDER, "input": "", "padding": "x" * 5_000_000})
    assert answer.status_code == 200


class _RecordingTransport(asyncio.Transport):
    """A transport that records the written bytes and whether reading is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.is_over = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        self.options = (level, option, value)

    def abort(self) -> None:
        self.is_over = True

    def is_closing(self) -> bool:
        return self.is_over

    def close(self) -> None:
        self.is_over = True

    def write_eof(self) -> None:
        self.is_over = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class _Server:
    """Serves requests after an event, and records their bodies."""

    def __init__(self) -> None:
        self.transport = _RecordingTransport()
        self.bodies: list[bytes] = []
        self.released = asyncio.Event()
        self.connection = Connection(self._serve, lambda request: None, set())
        self.connection.connection_made(self.transport)

    async def _serve(self, connection: Connection, request: HttpRequest) -> None:
        await self.released.wait()
        self.bodies.append(request.body)
        connection.write(b"served")

    async def settle(self) -> None:
        """Set the event and wait until all requests are served."""
        self.released.set()
        while self.connection.task is not None:
            await self.connection.task


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11])
async def test_requests_can_arrive_in_pieces_of_any_size(size: int) -> None:
    chunked = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n3;extension\r\nsix\r\n0\r\n\r\n"
    plain = b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nseven"
    server = _Server()
    server.released.set()
    data = chunked + plain + chunked
    for start in range(0, len(data), size):
        server.connection.data_received(data[start : start + size])
        await server.settle()
    assert server.bodies == [b"foursix", b"seven", b"foursix"]


async def test_reading_pauses_while_a_pipelining_client_is_served() -> None:
    server = _Server()
    server.connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    server.connection.data_received(b"x" * (1 << 21))
    assert not server.transport.reading
    await server.settle()
    assert server.transport.reading


async def test_writing_waits_while_the_client_does_not_read() -> None:
    server = _Server()
    server.connection.pause_writing()
    waiting = asyncio.create_task(server.connection.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    server.connection.resume_writing()
    await waiting


async def test_data_for_a_disconnected_client_is_dropped() -> None:
    server = _Server()
    server.connection.connection_lost(None)
    server.connection.write(b"too late")
    server.connection.close()
    server.connection.reset()
    assert (server.connection.closed, server.transport.written) == (True, b"")


async def test_an_exception_of_the_handler_resets_the_connection_and_propagates() -> None:
    async def fail(connection: Connection, request: HttpRequest) -> None:
        raise RuntimeError("a fault")

    transport = _RecordingTransport()
    connection = Connection(fail, lambda request: None, set())
    connection.connection_made(transport)
    connection.data_received(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    task = connection.task
    assert task is not None
    with pytest.raises(RuntimeError, match="a fault"):
        await task
    assert transport.is_over


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_is_accepted_while_it_stops_is_reset(turns: int) -> None:
    async with Simulator() as simulator:
        where = urlsplit(simulator.url)
        # The kernel takes it before the event loop does.
        with socket.create_connection((where.hostname, where.port)) as client:
            for _ in range(turns):
                await asyncio.sleep(0)
            await simulator.stop()
            client.settimeout(5)
            with pytest.raises(ConnectionResetError):
                client.recv(1)
