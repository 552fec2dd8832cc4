"""Calls of tools on the way that is shortest: from the message to its handler and back, in one asyncio task.

The dispatcher of the SDK (mcp 2.3.0) runs each request in a task group and a cancel scope, through a chain of
middleware, which costs as much as a short call does. Plain calls of a session with a handshake are taken here instead.
They are validated and serialized by the SDK's own functions, so that no byte differs. Obsolete when `python -m
bench.calls` shows no difference without `DirectCalls`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
from anyio.abc import ObjectSendStream
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary
from mcp.server.session import ServerSession
from mcp.shared.dispatcher import CallOptions, Dispatcher, coerce_request_id
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.shared.jsonrpc_dispatcher import (
    cancelled_request_id_from_params,
    handler_exception_to_error_data,
    progress_token_from_params,
)
from mcp.shared.message import SessionMessage
from mcp.shared.transport_context import TransportContext
from mcp.types import (
    CONNECTION_CLOSED,
    INTERNAL_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    RequestParams,
)
from mcp_types.methods import serialize_server_result, validate_client_request
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import BaseModel, ValidationError

log = logging.getLogger(__name__)

_METHOD = "tools/call"
# Others, such as the answer to a form, are for the middleware.
_PLAIN = frozenset(("name", "arguments", "_meta"))
_CLOSING_SECONDS = 1.0

_TRANSPORT = TransportContext(kind="jsonrpc", can_send_request=True)

Params = Mapping[str, Any]
Handle = Callable[[], Awaitable[object]]


@dataclass
class _Call:
    """One call, and its channel to the client as the SDK's handlers have it (`DispatchContext`)."""

    dispatcher: Dispatcher[TransportContext]
    request_id: RequestId
    progress_token: str | int | None
    transport: TransportContext = _TRANSPORT
    message_metadata: None = None
    cancel_requested: anyio.Event = field(default_factory=anyio.Event)
    is_closed: bool = False
    is_answered: bool = False

    @property
    def can_send_request(self) -> bool:
        return self.transport.can_send_request and not self.is_closed

    async def send_raw_request(self, method: str, params: Params | None, opts: CallOptions | None = None) -> Any:
        if not self.can_send_request:
            raise NoBackChannelError(method)
        return await self.dispatcher.send_raw_request(method, params, opts)

    async def notify(self, method: str, params: Params | None, opts: CallOptions | None = None) -> None:
        if not self.is_closed:
            await self.dispatcher.notify(method, params, opts)

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        if self.progress_token is None:
            return
        fields = {"progressToken": self.progress_token, "progress": progress, "total": total, "message": message}
        await self.notify(
            "notifications/progress", {name: value for name, value in fields.items() if value is not None}
        )


class DirectCalls:
    """The calls of one client that go this way.

    Args:
        server: The protocol server.
        session: The client's session.
        dispatcher: What sends requests and notifications to the client.
        sink: Where answers go.
        forget: Told of each call that gets none.
        lifespan_state: What the server's lifespan yielded.
    """

    def __init__(
        self,
        server: Server[Any],
        session: Connection,
        dispatcher: Dispatcher[TransportContext],
        sink: ObjectSendStream[SessionMessage],
        forget: Callable[[RequestId], None],
        lifespan_state: Any,
    ) -> None:
        self._server = server
        # The seal of forms is nothing to plain calls.
        others = [one for one in server.middleware if type(one) is not RequestStateBoundary]
        self._is_open = not others and _METHOD not in server.cache_hints
        self._session = session
        self._dispatcher = dispatcher
        self._sink = sink
        self._forget = forget
        self._state = lifespan_state
        self._running: dict[RequestId, tuple[_Call, asyncio.Task[None]]] = {}

    def take(self, request: JSONRPCRequest) -> bool:
        """Begin a call where it is plain; what is not, or not valid, is left to the SDK, which says so."""
        params, version = request.params, self._session.protocol_version
        if request.method != _METHOD or params is None or not _PLAIN.issuperset(params):
            return False
        if not (self._is_open and self._session.initialize_accepted and version in HANDSHAKE_PROTOCOL_VERSIONS):
            return False
        entry, key = self._server.get_request_handler(_METHOD), coerce_request_id(request.id)
        # What to do with an id that is given again before its first call has ended is the SDK's to say.
        if entry is None or key in self._running:
            return False
        try:
            validate_client_request(_METHOD, version, params)
            typed = entry.params_type.model_validate(params, by_name=False)
            meta = RequestParams.model_validate(params, by_name=False).meta if "_meta" in params else None
        except (ValidationError, KeyError):
            return False
        call = _Call(self._dispatcher, request.id, progress_token_from_params(params))
        context: ServerRequestContext[Any, Any] = ServerRequestContext(
            session=ServerSession(call, self._session, request_meta=meta),
            lifespan_context=self._state,
            method=_METHOD,
            params=params,
            request_id=request.id,
            meta=meta,
            protocol_version=version,
        )
        task = asyncio.create_task(self._serve(call, version, partial(entry.handler, context, typed)))
        self._running[key] = call, task
        task.add_done_callback(lambda _: self._end(key, call))
        return True

    def see(self, message: JSONRPCMessage) -> None:
        """Cancel the call that a message of the client gives up; it gets no answer."""
        if not isinstance(message, JSONRPCNotification) or message.method != "notifications/cancelled":
            return
        request_id = cancelled_request_id_from_params(message.params)
        if request_id is not None and (running := self._running.get(coerce_request_id(request_id))) is not None:
            call, task = running
            call.cancel_requested.set()
            # Not before its first step, which a task that is cancelled would never take.
            asyncio.get_running_loop().call_soon(task.cancel)

    async def aclose(self) -> None:
        """Cancel all calls, and tell so who waits for them."""
        if tasks := [task for _, task in self._running.values()]:
            for task in tasks:
                task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait(tasks)

    async def _serve(self, call: _Call, version: str, handle: Handle) -> None:
        try:
            message = await self._outcome(call, version, handle)
        except asyncio.CancelledError:
            # The server stops: nobody is left waiting, unless the client itself gave the call up.
            if not call.cancel_requested.is_set():
                error = ErrorData(code=CONNECTION_CLOSED, message="Connection closed")
                with anyio.move_on_after(_CLOSING_SECONDS):
                    await self._answer(call, JSONRPCError(jsonrpc="2.0", id=call.request_id, error=error))
            raise
        if not call.cancel_requested.is_set():
            await self._answer(call, message)

    async def _outcome(self, call: _Call, version: str, handle: Handle) -> JSONRPCResponse | JSONRPCError:
        try:
            result = _on_wire(version, await handle())
        except Exception as error:
            data = handler_exception_to_error_data(error)
            if data is None:
                log.exception("handler for %r raised", _METHOD)
                data = ErrorData(code=0, message=str(error))
            return JSONRPCError(jsonrpc="2.0", id=call.request_id, error=data)
        else:
            return JSONRPCResponse(jsonrpc="2.0", id=call.request_id, result=result)
        finally:
            call.is_closed = True

    async def _answer(self, call: _Call, message: JSONRPCResponse | JSONRPCError) -> None:
        call.is_answered = True
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._sink.send(SessionMessage(message))

    def _end(self, key: RequestId, call: _Call) -> None:
        del self._running[key]
        if not call.is_answered:
            self._forget(call.request_id)


def _on_wire(version: str, result: Any) -> dict[str, Any]:
    """A result as the SDK sends it."""
    if isinstance(result, ErrorData):
        raise MCPError.from_error_data(result)
    dumped = (
        result.model_dump(by_alias=True, mode="json", exclude_none=True) if isinstance(result, BaseModel) else result
    )
    try:
        return serialize_server_result(_METHOD, version, dumped)
    except ValidationError:
        log.exception("handler for %r returned an invalid result", _METHOD)
        raise MCPError(code=INTERNAL_ERROR, message="Handler returned an invalid result") from None
