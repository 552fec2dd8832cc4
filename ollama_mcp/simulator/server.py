"""The simulator as an HTTP server in the running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from ollama_mcp.simulator import control
from ollama_mcp.simulator.answers import Answer, Scripts
from ollama_mcp.simulator.errors import ErrorResponse
from ollama_mcp.simulator.faults import Fault, FaultRules, FaultyResponseWriter, respond_with_fault
from ollama_mcp.simulator.http import BodySink, Connection, HttpRequest
from ollama_mcp.simulator.library import KINDS
from ollama_mcp.simulator.machine import AccountState, Machine
from ollama_mcp.simulator.registry import Registry
from ollama_mcp.simulator.request_log import Disconnect, LoggedRequest, RequestLog
from ollama_mcp.simulator.response import ResponseWriter
from ollama_mcp.simulator.routes.transfers import BlobUpload
from ollama_mcp.simulator.routing import dispatch
from ollama_mcp.simulator.scheduler import Latency
from ollama_mcp.simulator.store import ModelStore

# In which a connection that the event loop has accepted gets its transport and its protocol.
_ACCEPT_ITERATIONS = 5


async def stop_listening(server: asyncio.Server) -> None:
    """Stop listening; every connection that was accepted has its protocol then.

    Closing alone would leave one that is just being accepted open without one, since its server has no sockets then
    (`Server._attach`, https://github.com/python/cpython/blob/3.11/Lib/asyncio/base_events.py).
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        # The event loop of Windows has no readers.
        with suppress(NotImplementedError):
            loop.remove_reader(listener)
    for _ in range(_ACCEPT_ITERATIONS):
        await asyncio.sleep(0)
    server.close()


class Simulator:
    """An Ollama without models; an async context manager that listens while its block runs.

    Args:
        version: The Ollama version to simulate, "latest" for the newest documented one; None simulates v0.33.0 and
            reports "0.33.0-simulator".
        models: Installed models, by name or by kind ("chat", "thinking", "vision", "embed", ...); None installs one
            of each of these four.
        host: Address to listen on.
        port: Port to listen on; 0 selects a free one.
        latency: Seconds per token of an answer, or a Latency; 0 answers immediately.
        account: State of the account on ollama.com.
        num_parallel: Requests that a model runs at a time.
        max_queue: Requests that may wait for a load.
        max_loaded: Models in memory at a time.
        faults: Rules that are active from the start.
    """

    def __init__(
        self,
        version: str | None = None,
        models: Iterable[str] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency: float | Latency = 0.0,
        account: AccountState = "signed_in",
        num_parallel: int = 1,
        max_queue: int = 512,
        max_loaded: int = 3,
        faults: Iterable[Fault] = (),
    ) -> None:
        speed = latency if isinstance(latency, Latency) else Latency(token=latency)
        self.machine = Machine.build(version, models, speed, account, num_parallel, max_queue, max_loaded)
        self.faults = FaultRules()
        self.faults.add(*faults)
        self.log = RequestLog()
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
        """Start listening."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._new_connection, self._host, self._port, backlog=1024)
        # Kept, so that `resume` listens on the same port.
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, reset all connections and cancel all work."""
        await self.pause()
        tasks = [connection.task for connection in self._connections if connection.task is not None]
        for connection in list(self._connections):
            connection.reset()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.machine.close()
        # Transports close in the next iteration of the event loop, which may be the last one.
        await asyncio.sleep(0)

    async def pause(self) -> None:
        """Stop listening, so that connections are refused; open connections are kept."""
        server, self._server = self._server, None
        if server is not None:
            await stop_listening(server)

    async def resume(self) -> None:
        """Listen again on the same port."""
        if self._server is None:
            await self.start()

    @property
    def url(self) -> str:
        """Base URL without a trailing slash."""
        return f"http://{self._host}:{self._port}"

    @property
    def gpu_bytes(self) -> int:
        """Memory of the GPU in bytes, for the `size_vram` of each loaded model; 0 means no GPU."""
        return self.machine.gpu_bytes

    @gpu_bytes.setter
    def gpu_bytes(self, size: int) -> None:
        self.machine.gpu_bytes = size

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests so far, oldest first."""
        return list(self.log.requests)

    @property
    def in_flight(self) -> list[LoggedRequest]:
        """The requests that are being served."""
        return sorted(self.log.in_flight, key=lambda entry: entry.number)

    @property
    def disconnects(self) -> list[Disconnect]:
        """The clients that disconnected before their response was complete."""
        return self.log.disconnects

    @property
    def scripts(self) -> Scripts:
        """The scripted answers."""
        return self.machine.scripts

    @property
    def registry(self) -> Registry:
        """The registry for pulls and pushes."""
        return self.machine.registry

    @property
    def store(self) -> ModelStore:
        """The installed models and blobs."""
        return self.machine.store

    def script(self, model: str, *answers: Answer) -> None:
        """Set the next answers of a model, named as in `models`, with or without tag; "*" is any model."""
        known = self.machine.store.find(KINDS.get(model, model))
        self.scripts.add(known.name.short if known else model, *answers)

    def set_accuracy(self, model: str, accuracy: float | None) -> None:
        """Set how often a model gives the right answer that a prompt names as `[[answer]]`; None ends that.

        Raises:
            ValueError: There is no such model, or no such share.
        """
        known = self.machine.store.find(KINDS.get(model, model))
        if known is None or not (accuracy is None or 0 <= accuracy <= 1):
            raise ValueError(f"No installed model {model!r}, or no share from 0 to 1: {accuracy!r}.")
        if accuracy is None:
            self.machine.accuracies.pop(known.name.key, None)
        else:
            self.machine.accuracies[known.name.key] = accuracy

    def release(self, name: str) -> None:
        """Release the answers that hold for this name."""
        self.scripts.release(name)

    def _new_connection(self) -> Connection:
        return Connection(self._serve, self._body_sink_for, self._connections)

    def _body_sink_for(self, request: HttpRequest) -> BodySink | None:
        return BlobUpload() if request.method == "POST" and request.path.startswith("/api/blobs/") else None

    async def _serve(self, connection: Connection, request: HttpRequest) -> None:
        # Not subject to faults and not logged: the controls must work while everything else fails.
        if request.path.startswith("/_simulator/"):
            return await control.serve(self, request, ResponseWriter(connection, request))
        entry = self.log.begin(request.method, request.path, request.headers, request.body)
        faults = self.faults.matching(request.path, entry.model, request.body) if self.faults.rules else []
        response = FaultyResponseWriter(connection, request, faults) if faults else ResponseWriter(connection, request)
        disconnected = False
        try:
            for fault in faults:
                if await respond_with_fault(fault, response):
                    return
            await self._respond(request, response)
        # The connection cancels its request when the client disconnects, and when a fault closes it.
        except asyncio.CancelledError:
            disconnected = not connection.closed_by_server
            raise
        finally:
            if (
                isinstance(response, FaultyResponseWriter)
                and response.runner_died
                and (model := self.store.find(entry.model))
            ):
                self.machine.scheduler.kill(model)
            entry.status, entry.lines = response.status, response.lines
            self.log.end(entry, disconnected=disconnected)

    async def _respond(self, request: HttpRequest, response: ResponseWriter) -> None:
        try:
            await dispatch(self.machine, request, response)
        except ErrorResponse as error:
            await response.error(error.body, error.status)
        await response.end()
