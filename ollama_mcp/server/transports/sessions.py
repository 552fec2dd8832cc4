"""Streamable HTTP's sessions: how many one client may have, and no request id twice at once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, cast

from mcp.types import RequestId
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic_core import from_json

from ollama_mcp.server.transports.body import Message, Receive, Refused, Scope, Send, header
from ollama_mcp.server.transports.clients import address_of
from ollama_mcp.server.transports.exchange import App

_SESSION = b"mcp-session-id"


@dataclass
class _Session:
    owner: str
    last_used: float = field(default_factory=time.monotonic)
    users: int = 0
    requests: set[RequestId] = field(default_factory=set[RequestId])


class SessionLimits:
    """An ASGI application around the SDK's, which counts sessions for the whole process only.

    Args:
        app: The SDK's application.
        limit: Sessions that one client may have.
        idle_seconds: After which the SDK forgets a session that nobody uses.
    """

    def __init__(self, app: App, limit: int, idle_seconds: float) -> None:
        self._app = app
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._sessions: dict[str, _Session] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request.

        Raises:
            Refused: 503 at the limit of sessions, 409 for a request id that is in flight.
        """
        version = next(iter(header(scope, b"mcp-protocol-version")), None)
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            await self._app(scope, receive, send)  # has no sessions
            return
        name = next(iter(header(scope, _SESSION)), None)
        if name is None:
            await self._open(scope, receive, send)
        elif (session := self._sessions.get(name)) is None:
            await self._app(scope, receive, send)  # answers 404
        else:
            await self._use(name, session, scope, receive, send)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        owner = address_of(scope)
        if scope["method"] == "POST" and not self._has_room(owner):
            raise Refused(503, f"over {self._limit} sessions of one client")

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                for name, value in message.get("headers", ()):
                    if name.lower() == _SESSION:
                        self._sessions[value.decode("latin-1")] = _Session(owner)
            await send(message)

        await self._app(scope, receive, note)

    async def _use(self, name: str, session: _Session, scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            ended = scope["method"] == "DELETE" and message.get("status") == 200
            if message["type"] == "http.response.start" and (ended or message["status"] == 404):
                self._sessions.pop(name, None)
            await send(message)

        request: RequestId | None = None
        if scope["method"] == "POST":
            first = await receive()
            request = _request_id(first.get("body", b""))
            receive = _replay(first, receive)
        if request is not None and request in session.requests:
            raise Refused(409, f"request id {request!r:.100} is already in flight")
        held = {request} if request is not None else set[RequestId]()
        session.requests |= held
        session.users += 1
        try:
            await self._app(scope, receive, note)
        finally:
            session.users -= 1
            session.requests -= held
            session.last_used = time.monotonic()

    def _has_room(self, owner: str) -> bool:
        oldest = time.monotonic() - self._idle_seconds
        for name, session in list(self._sessions.items()):
            if not session.users and session.last_used < oldest:
                del self._sessions[name]
        return sum(session.owner == owner for session in self._sessions.values()) < self._limit


def _replay(first: Message, receive: Receive) -> Receive:
    waiting = [first]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


def _request_id(body: bytes) -> RequestId | None:
    try:
        value: Any = from_json(body)
    except ValueError:
        return None  # the SDK finds its own words
    found = cast("dict[str, Any]", value).get("id") if isinstance(value, dict) and "method" in value else None
    # The SDK keeps the answers of 7 and "7" under one key.
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else None
