"""A TCP proxy between the server and Ollama that fails in the ways of networks."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from ollama_mcp.simulator.server import stop_listening

_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Wire:
    """What happens to the bytes of one direction of each connection.

    Args:
        then: `cut` closes both sides, `reset` with RST, `hold` passes nothing more and closes nothing (half-open),
            `trickle` passes one byte at a time.
        after: Bytes that are passed unchanged before.
        pause: Seconds before each byte of `trickle`, and before each piece otherwise (latency).
    """

    then: Literal["pass", "cut", "reset", "hold", "trickle"] = "pass"
    after: int = 0
    pause: float = 0.0


PASS = Wire()


class FaultProxy:
    """Passes connections on to `upstream`, an Ollama's URL; an async context manager.

    Its port stays taken while it does not listen, so that a refused connection reaches nobody else.

    Attributes:
        up: What happens to requests.
        down: What happens to responses.
        reply: If set, what answers each request in place of Ollama, which sees none.
        passed: Bytes of requests that were passed on.
        returned: Bytes of responses that were passed back.
    """

    def __init__(self, port: PortKeeper) -> None:
        self._keeper = port
        self._server: asyncio.Server | None = None
        self._pairs: set[asyncio.Task[None]] = set()
        self.upstream = ""
        self.up = self.down = PASS
        self.reply = b""
        self.passed = self.returned = 0
        self._mended = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        # The task of a connection that was taken at this moment begins in the next iteration.
        await asyncio.sleep(0)
        await self.drop()

    async def listen(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._keeper.port, reuse_port=True)

    async def refuse(self) -> None:
        """Refuse new connections."""
        server, self._server = self._server, None
        if server is not None:
            await stop_listening(server)

    async def drop(self) -> None:
        """Close all connections, idle ones too."""
        pairs = list(self._pairs)
        for pair in pairs:
            pair.cancel()
        await asyncio.gather(*pairs, return_exceptions=True)

    def mend(self) -> None:
        """Pass everything on again."""
        self.up = self.down = PASS
        self.reply = b""
        self._mended.set()
        self._mended = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        try:
            await (self._answer if self.reply else self._connect)(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            # Cancelled by `drop` only; asyncio would log the one and pass on the other.
            pass
        finally:
            writer.close()
            self._pairs.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self.reply)
        await writer.drain()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        where = urlsplit(self.upstream)
        there, back = await asyncio.open_connection(where.hostname, where.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, back, writer, "up"))
                both.create_task(self._pump(there, writer, back, "down"))
        except* (ConnectionError, _Closed):
            pass
        finally:
            back.close()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, other: asyncio.StreamWriter, way: str
    ) -> None:
        passed = 0
        while True:
            try:
                data = await source.read(16_384)
            except ConnectionError:
                _reset(sink)
                raise
            if not data:
                raise _Closed
            wire: Wire = self.up if way == "up" else self.down
            if wire.then == "pass":
                whole, rest = data, b""
            else:
                room = max(wire.after - passed, 0)
                whole, rest = data[:room], data[room:]
            if wire.pause and wire.then == "pass":
                await asyncio.sleep(wire.pause)
            sink.write(whole)
            await sink.drain()
            passed += len(whole)
            if way == "up":
                self.passed += len(whole)
            else:
                self.returned += len(whole)
            if rest:
                await self._break(wire, rest, sink, other)

    async def _break(self, wire: Wire, rest: bytes, sink: asyncio.StreamWriter, other: asyncio.StreamWriter) -> None:
        match wire.then:
            case "trickle":
                for place in range(len(rest)):
                    await asyncio.sleep(wire.pause)
                    sink.write(rest[place : place + 1])
                    await sink.drain()
            case "hold":
                # Nothing is read either: what the sender goes on to send fills the buffers, as on a dead line.
                await self._mended.wait()
                sink.write(rest)
            case "reset":
                _reset(sink)
                _reset(other)
                raise _Closed
            case _:
                raise _Closed


class _Closed(Exception):
    """One side has closed; the proxy closes the other."""


class PortKeeper:
    """A port of this machine that stays ours while nobody listens on it."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    @property
    def url(self) -> str:
        """The address that the server under test is given."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    # A linger time of zero makes the kernel send RST instead of FIN.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()
