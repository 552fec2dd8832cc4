"""Cancels the calls of an HTTP client that has disconnected, and ends responses when the server stops.

The SDK (mcp 2.3.0) cancels a call with its connection in three of four cases: protocol 2026-07-28, streamable HTTP
without sessions, SSE. A call in a session goes on for nobody (`_handle_stateful_request` of
`mcp.server.streamable_http_manager`), and would keep its model running. Nor does the SDK end open event streams when
the server stops. Obsolete when `test_a_vanished_client_frees_its_call` and
`test_stopping_the_server_ends_calls_and_streams` pass without `CancellableRequest`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import CONNECTION_CLOSED

from ollama_mcp.hosts.principal import Principal
from ollama_mcp.server.transports.asgi import ASGIApp, Message, Receive, Scope, Send, send_text
from ollama_mcp.server.transports.client_limits import Client

_SCOPE_KEY = "ollama_mcp.request"
_STOP_SECONDS = 0.5


class CancellableRequest:
    """One HTTP request on its way through the SDK, and the calls that run for it.

    Args:
        client: Whose request it is.
        principal: Who sends it, where that is known.
        grace_seconds: Time from the client's disconnect to the end of its calls.
    """

    def __init__(self, client: Client, grace_seconds: float, principal: Principal | None = None) -> None:
        self.client = client
        self.principal = principal
        self.status: int | None = None
        self._grace_seconds = grace_seconds
        self._is_disconnected = False
        self._is_answered = False
        self._is_stopped = False
        self._receive_scope: anyio.CancelScope | None = None
        self._scope = anyio.CancelScope()
        self._call_scopes: set[anyio.CancelScope] = set()

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, body: bytes | None) -> None:
        """Run `app`. A response that `stop` cuts off is brought to an end that the client understands.

        Args:
            app: What answers.
            scope: The request.
            receive: ASGI channel of the request, its body already taken from it.
            send: ASGI channel of the response.
            body: The body; None where it is still to be received.
        """
        pending = [] if body is None else [body]

        async def receive_message() -> Message:
            if pending:
                return {"type": "http.request", "body": pending.pop(), "more_body": False}
            with anyio.CancelScope() as self._receive_scope:
                if self._is_stopped:
                    self._receive_scope.cancel()
                message = await receive()
                if message["type"] == "http.disconnect":
                    self._on_disconnect()
                return message
            # Only `stop` cancels the scope: to the SDK the client has gone.
            return {"type": "http.disconnect"}

        async def send_message(message: Message) -> None:
            self._observe(message)
            await send(message)

        with self._scope:
            await app({**scope, _SCOPE_KEY: self}, receive_message, send_message)
        if self._is_stopped and not self._is_answered and not self._is_disconnected:
            if self.status is None:
                await send_text(send, 503, "The server is stopping, or the token was revoked")
            else:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    def revoke(self) -> None:
        """End the response and its calls at once: they are nobody's any more."""
        for scope in self._call_scopes:
            scope.cancel()
        self.stop()

    def stop(self) -> None:
        """End the response: the SDK is told that its client has left, and is cancelled if that is not enough."""
        self._is_stopped = True
        if self._receive_scope is not None:
            self._receive_scope.cancel()
        asyncio.get_running_loop().call_later(_STOP_SECONDS, self._scope.cancel)

    @contextmanager
    def running_call(self) -> Generator[None]:
        """Count a call of this request, and cancel it some time after the client has disconnected.

        Raises:
            MCPError: The call was cancelled in this way; nobody reads it.
        """
        scope = anyio.CancelScope()
        self._call_scopes.add(scope)
        # Over SSE a call starts after its POST has been answered, so its client may have left before.
        if self._is_disconnected:
            self._cancel_later(scope)
        try:
            with self.client.counting("running"), scope:
                yield
        finally:
            self._call_scopes.discard(scope)
        if scope.cancelled_caught:
            raise MCPError(code=CONNECTION_CLOSED, message="The client has disconnected")

    def _on_disconnect(self) -> None:
        # ASGI reports a disconnect after the end of a response too: then nobody has left.
        if self._is_answered or self._is_disconnected:
            return
        self._is_disconnected = True
        for scope in self._call_scopes:
            self._cancel_later(scope)

    def _cancel_later(self, scope: anyio.CancelScope) -> None:
        asyncio.get_running_loop().call_later(self._grace_seconds, scope.cancel)

    def _observe(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif not message.get("more_body", False):
            self._is_answered = True


async def cancel_abandoned(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Server middleware that ties each call to the HTTP request that it came with."""
    request = ctx.request.scope.get(_SCOPE_KEY) if ctx.request is not None else None
    # Without an id it is a notification, which nobody waits for.
    if request is None or ctx.request_id is None:
        return await call_next(ctx)
    with request.running_call():
        return await call_next(ctx)
