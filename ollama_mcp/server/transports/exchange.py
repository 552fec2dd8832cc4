"""One HTTP request on its way through the SDK, and the calls that run for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import CONNECTION_CLOSED

from ollama_mcp.server.transports.body import Message, Receive, Scope, Send
from ollama_mcp.server.transports.clients import Client

_KEY = "ollama_mcp.exchange"
_STOP_SECONDS = 0.5

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Exchange:
    """Knows whether the client still waits for its answer, and cancels the work of one that has gone.

    The SDK does so for two of the four kinds of answer only: a client of a handshake protocol that is killed would
    leave its model running.

    Args:
        client: Whose request it is.
        grace: Seconds from the client's leaving to the end of its calls.
    """

    def __init__(self, client: Client, grace: float) -> None:
        self.client = client
        self.status: int | None = None
        self._grace = grace
        self._left = False
        self._finished = False
        self._stopped = False
        self._receiving: anyio.CancelScope | None = None
        self._scope = anyio.CancelScope()
        self._calls: set[anyio.CancelScope] = set()

    async def serve(self, app: App, scope: Scope, receive: Receive, send: Send, body: bytes | None) -> None:
        """Runs `app`; an answer that `stop` cuts off is brought to an end that the client understands.

        Args:
            app: What answers.
            scope: The request.
            receive: ASGI channel of the request, its body already taken from it.
            send: ASGI channel of the answer.
            body: The body; None where it is still to be received.
        """
        waiting = [] if body is None else [body]

        async def receive_on() -> Message:
            if waiting:
                return {"type": "http.request", "body": waiting.pop(), "more_body": False}
            with anyio.CancelScope() as self._receiving:
                if self._stopped:
                    self._receiving.cancel()
                message = await receive()
                if message["type"] == "http.disconnect":
                    self._client_left()
                return message
            return {"type": "http.disconnect"}

        async def send_on(message: Message) -> None:
            self._note(message)
            await send(message)

        with self._scope:
            await app({**scope, _KEY: self}, receive_on, send_on)
        if self._stopped and not self._finished and not self._left:
            if self.status is None:
                await answer(send, 503, "The server is stopping")
            else:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    def stop(self) -> None:
        """Ends the answer: the SDK is told that its client has left, and is cancelled if that is not enough."""
        self._stopped = True
        if self._receiving is not None:
            self._receiving.cancel()
        asyncio.get_running_loop().call_later(_STOP_SECONDS, self._scope.cancel)

    @contextmanager
    def running(self) -> Generator[None]:
        """Counts a call of this request, and cancels it some time after the client has left.

        Raises:
            MCPError: The call was cancelled so; nobody reads it.
        """
        scope = anyio.CancelScope()
        self._calls.add(scope)
        if self._left:
            self._cancel_later(scope)
        try:
            with self.client.holding("running"), scope:
                yield
        finally:
            self._calls.discard(scope)
        if scope.cancelled_caught:
            raise MCPError(code=CONNECTION_CLOSED, message="The client has gone")

    def _client_left(self) -> None:
        # After its end an answer's channel reports a disconnect too: that is no leaving.
        if self._finished or self._left:
            return
        self._left = True
        for scope in self._calls:
            self._cancel_later(scope)

    def _cancel_later(self, scope: anyio.CancelScope) -> None:
        asyncio.get_running_loop().call_later(self._grace, scope.cancel)

    def _note(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif not message.get("more_body", False):
            self._finished = True


async def free_abandoned(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Server middleware that ties each call to the HTTP request that it came with."""
    exchange = ctx.request.scope.get(_KEY) if ctx.request is not None else None
    if exchange is None or ctx.request_id is None:
        return await call_next(ctx)
    with exchange.running():
        return await call_next(ctx)


async def answer(send: Send, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Sends a short plain answer."""
    body = text.encode()
    fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body, "more_body": False})
