"""The simulator as a running server: in a test's own event loop, or as a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from ollama_mcp.simulator import control
from ollama_mcp.simulator.answers import Answer, Scripts
from ollama_mcp.simulator.breakage import FaultyReply, stand_in
from ollama_mcp.simulator.cards import KINDS
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.faults import Fault, Faults
from ollama_mcp.simulator.http import Connection, Request, Upload
from ollama_mcp.simulator.log import Disconnect, Log, Seen
from ollama_mcp.simulator.machine import Account, Machine, Registry
from ollama_mcp.simulator.reply import Reply
from ollama_mcp.simulator.routes.blobs import BlobUpload
from ollama_mcp.simulator.routing import dispatch
from ollama_mcp.simulator.runner import Latency
from ollama_mcp.simulator.store import Store


class Simulator:
    """An Ollama without models. Use it as an async context manager; it listens while the block runs.

    Args:
        version: The Ollama version to play, "latest" for the newest documented; None plays v0.33.0 and says so with
            "-simulator" behind the number.
        models: Installed models, by name or by what they are for ("chat", "thinking", "vision", "embed", ...);
            None installs one of each.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        latency: Seconds per token of an answer, or a Latency; 0 answers at once.
        account: How the server stands with ollama.com.
        num_parallel: Requests that one model runs at a time.
        max_queue: Requests that may wait for a load.
        max_loaded: Models in memory at a time.
        faults: Rules in force from the start.
    """

    def __init__(
        self,
        version: str | None = None,
        models: Iterable[str] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency: float | Latency = 0.0,
        account: Account = "signed_in",
        num_parallel: int = 1,
        max_queue: int = 512,
        max_loaded: int = 3,
        faults: Iterable[Fault] = (),
    ) -> None:
        speed = latency if isinstance(latency, Latency) else Latency(token=latency)
        self.machine = Machine.build(version, models, speed, account, num_parallel, max_queue, max_loaded)
        self.faults = Faults()
        self.faults.add(*faults)
        self.log = Log()
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, self._host, self._port, backlog=1024)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, drop all clients, end all work."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = [connection.task for connection in self._connections if connection.task is not None]
        for connection in list(self._connections):
            connection.reset()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.machine.close()
        # The transports close in the next turn of the loop, which may be the last one.
        await asyncio.sleep(0)

    async def pause(self) -> None:
        """Stop listening, so that connections are refused; those that stand stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def resume(self) -> None:
        """Listen again on the same port."""
        if self._server is None:
            await self.start()

    @property
    def url(self) -> str:
        """Base URL without a slash at its end."""
        return f"http://{self._host}:{self._port}"

    @property
    def gpu_bytes(self) -> int:
        """Memory of the GPU, which each loaded model fills as far as it fits; 0 has none."""
        return self.machine.gpu_bytes

    @gpu_bytes.setter
    def gpu_bytes(self, size: int) -> None:
        self.machine.gpu_bytes = size

    @property
    def requests(self) -> list[Seen]:
        """The requests so far, oldest first."""
        return list(self.log.requests)

    @property
    def in_flight(self) -> list[Seen]:
        """The requests that are being served now."""
        return sorted(self.log.active, key=lambda seen: seen.number)

    @property
    def disconnects(self) -> list[Disconnect]:
        """The clients that went away before their answer was whole."""
        return self.log.disconnects

    @property
    def scripts(self) -> Scripts:
        """The scripted answers."""
        return self.machine.scripts

    @property
    def registry(self) -> Registry:
        """What pulls and pushes meet."""
        return self.machine.registry

    @property
    def store(self) -> Store:
        """Models and blobs."""
        return self.machine.store

    def script(self, model: str, *answers: Answer) -> None:
        """Say what a model answers next; "*" is any model. Names as in `models`, with or without tag."""
        known = self.machine.store.find(KINDS.get(model, model))
        self.scripts.add(known.name.short if known else model, *answers)

    def release(self, name: str) -> None:
        """Let the answers go on that hold for this name."""
        self.scripts.release(name)

    def _connection(self) -> Connection:
        return Connection(self._serve, self._upload_for, self._connections)

    def _upload_for(self, request: Request) -> Upload | None:
        return BlobUpload() if request.method == "POST" and request.path.startswith("/api/blobs/") else None

    async def _serve(self, connection: Connection, request: Request) -> None:
        # Neither faults nor the log: the controls must work while everything else is broken.
        if request.path.startswith("/_simulator/"):
            return await control.serve(self, request, Reply(connection, request))
        seen = self.log.begin(request.method, request.path, request.headers, request.body)
        struck = self.faults.strike(request.path, seen.model) if self.faults.rules else []
        reply = FaultyReply(connection, request, struck) if struck else Reply(connection, request)
        gone = False
        try:
            for rule in struck:
                if await stand_in(rule, reply):
                    return
            await self._answer(request, reply)
        # The connection cancels its request when the client goes, and when a fault ends it here.
        except asyncio.CancelledError:
            gone = not connection.ended_here
            raise
        finally:
            if isinstance(reply, FaultyReply) and reply.runner_died and (model := self.store.find(seen.model)):
                self.machine.scheduler.kill(model)
            seen.status, seen.lines = reply.status, reply.lines
            self.log.end(seen, gone=gone)

    async def _answer(self, request: Request, reply: Reply) -> None:
        try:
            await dispatch(self.machine, request, reply)
        except Failure as failure:
            await reply.error(failure.body, failure.status)
        await reply.end()
