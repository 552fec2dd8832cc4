"""How much one HTTP client may have open: requests, event streams, running calls, sessions.

A client is a principal or, without tokens, an IP address.

The SDK (mcp 2.3.0, `StreamableHTTPSessionManager`) limits sessions for the whole process only, so one client can take
all; and it lets two requests of one session have the same id, whose answers get mixed up. Obsolete when these tests
pass without `SessionLimits`: `test_sessions` (test_http_limits.py) and
`test_a_request_id_in_flight_is_refused_and_the_first_answered` (test_http_guard.py).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from mcp.types import RequestId
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic_core import from_json

from ollama_mcp.server.transports.asgi import ASGIApp, Message, Receive, Refused, Scope, Send, client_of, headers

CountedThing = Literal["unfinished", "posts", "streams", "running"]
_SESSION_HEADER = b"mcp-session-id"


class Client:
    """What one client has open now: unfinished bodies, POSTs, event streams, running calls."""

    def __init__(self) -> None:
        self._counts: Counter[CountedThing] = Counter()

    def __getitem__(self, what: CountedThing) -> int:
        return self._counts[what]

    @contextmanager
    def counting(self, what: CountedThing) -> Generator[None]:
        """Count one more of `what` while the block runs."""
        self._counts[what] += 1
        try:
            yield
        finally:
            self._counts[what] -= 1

    @property
    def calls(self) -> int:
        """Calls in flight: their POST is still open (streamable HTTP), or was answered at once (SSE)."""
        return max(self._counts["posts"], self._counts["running"])

    @property
    def is_idle(self) -> bool:
        """Whether nothing is open."""
        return not any(self._counts.values())


class Clients:
    """The clients that have something open."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}

    @contextmanager
    def client(self, name: str) -> Generator[Client]:
        """The client of that name. One that has nothing open afterwards is forgotten."""
        client = self._clients.setdefault(name, Client())
        try:
            yield client
        finally:
            if client.is_idle:
                self._clients.pop(name, None)


@dataclass
class _Session:
    owner: str
    last_used: float = field(default_factory=time.monotonic)
    users: int = 0
    request_ids: set[RequestId] = field(default_factory=set[RequestId])


class SessionLimits:
    """An ASGI application around the SDK's that limits the sessions of each client.

    Args:
        app: The SDK's application.
        limit: Sessions that one client may have.
        idle_seconds: Time after which the SDK forgets a session that nobody uses.
    """

    def __init__(self, app: ASGIApp, limit: int, idle_seconds: float) -> None:
        self._app = app
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._sessions: dict[str, _Session] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            Refused: 503 at the limit of sessions, 409 for a request id that is in flight.
        """
        version = next(iter(headers(scope, b"mcp-protocol-version")), None)
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            await self._app(scope, receive, send)  # these versions have no sessions
            return
        session_id = next(iter(headers(scope, _SESSION_HEADER)), None)
        if session_id is None:
            await self._open(scope, receive, send)
        elif (session := self._sessions.get(session_id)) is None:
            await self._app(scope, receive, send)  # answers 404
        else:
            await self._use(session_id, session, scope, receive, send)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        owner = client_of(scope)
        # Other methods without a session open none; the SDK refuses them.
        if scope["method"] == "POST" and not self._has_room(owner):
            raise Refused(503, f"over {self._limit} sessions of one client")

        async def send_and_record(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                for name, value in message.get("headers", ()):
                    # The SDK has opened a session.
                    if name.lower() == _SESSION_HEADER:
                        self._sessions[value.decode("latin-1")] = _Session(owner)
            await send(message)

        await self._app(scope, receive, send_and_record)

    async def _use(self, session_id: str, session: _Session, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_forget(message: Message) -> None:
            # 404 for a known id: the SDK has closed the session, as idle or after a crash.
            is_deleted = scope["method"] == "DELETE" and message.get("status") == 200
            if message["type"] == "http.response.start" and (is_deleted or message["status"] == 404):
                self._sessions.pop(session_id, None)
            await send(message)

        request_id: RequestId | None = None
        if scope["method"] == "POST":
            first = await receive()  # the whole body: the guard has read it
            request_id = _request_id(first.get("body", b""))
            receive = _replay(first, receive)
        if request_id is not None and request_id in session.request_ids:
            raise Refused(409, f"request id {request_id!r:.100} is already in flight")
        ids = {request_id} if request_id is not None else set[RequestId]()
        session.request_ids |= ids
        session.users += 1
        try:
            await self._app(scope, receive, send_and_forget)
        finally:
            session.users -= 1
            session.request_ids -= ids
            session.last_used = time.monotonic()

    def _has_room(self, owner: str) -> bool:
        # The SDK does not tell which sessions it has closed as idle, so the same rule is applied here.
        oldest = time.monotonic() - self._idle_seconds
        for session_id, session in list(self._sessions.items()):
            if not session.users and session.last_used < oldest:
                del self._sessions[session_id]
        return sum(session.owner == owner for session in self._sessions.values()) < self._limit


def _replay(first: Message, receive: Receive) -> Receive:
    pending = [first]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


def _request_id(body: bytes) -> RequestId | None:
    try:
        value: Any = from_json(body)
    except ValueError:
        return None  # the SDK refuses such a body itself
    found = cast("dict[str, Any]", value).get("id") if isinstance(value, dict) and "method" in value else None
    # The SDK keeps the answers of 7 and "7" under one key.
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else None
