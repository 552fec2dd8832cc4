from __future__ import annotations

import asyncio

import pytest

from ollama_mcp.simulator.http import Connection, Request


class _Wire(asyncio.Transport):
    """A transport that keeps what is written, and whether it is being read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.over = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        self.options = (level, option, value)

    def abort(self) -> None:
        self.over = True

    def is_closing(self) -> bool:
        return self.over

    def close(self) -> None:
        self.over = True

    def write_eof(self) -> None:
        self.over = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class _Server:
    """Serves requests when it is let, and keeps their bodies."""

    def __init__(self) -> None:
        self.wire = _Wire()
        self.bodies: list[bytes] = []
        self.leave = asyncio.Event()
        self.connection = Connection(self._serve, lambda request: None, set())
        self.connection.connection_made(self.wire)

    async def _serve(self, connection: Connection, request: Request) -> None:
        await self.leave.wait()
        self.bodies.append(request.body)
        connection.write(b"served")

    async def settle(self) -> None:
        """Let all that was asked be served."""
        self.leave.set()
        while self.connection.task is not None:
            await self.connection.task


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11])
async def test_requests_may_come_in_pieces_of_any_size(size: int) -> None:
    chunked = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n3;extension\r\nsix\r\n0\r\n\r\n"
    plain = b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nseven"
    server = _Server()
    server.leave.set()
    data = chunked + plain + chunked
    for start in range(0, len(data), size):
        server.connection.data_received(data[start : start + size])
        await server.settle()
    assert server.bodies == [b"foursix", b"seven", b"foursix"]


async def test_a_client_that_sends_on_while_it_is_served_is_read_no_further() -> None:
    server = _Server()
    server.connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    server.connection.data_received(b"x" * (1 << 21))
    assert not server.wire.reading
    await server.settle()
    assert server.wire.reading


async def test_writing_waits_while_the_client_does_not_read() -> None:
    server = _Server()
    server.connection.pause_writing()
    waiting = asyncio.create_task(server.connection.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    server.connection.resume_writing()
    await waiting


async def test_what_is_written_to_a_client_that_is_gone_is_dropped() -> None:
    server = _Server()
    server.connection.connection_lost(None)
    server.connection.write(b"too late")
    server.connection.close()
    server.connection.reset()
    assert (server.connection.closed, server.wire.written) == (True, b"")


async def test_a_fault_of_the_handler_ends_the_connection_and_is_not_hidden() -> None:
    async def fail(connection: Connection, request: Request) -> None:
        raise RuntimeError("a fault")

    wire = _Wire()
    connection = Connection(fail, lambda request: None, set())
    connection.connection_made(wire)
    connection.data_received(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    task = connection.task
    assert task is not None
    with pytest.raises(RuntimeError, match="a fault"):
        await task
    assert wire.over
