"""ASGI types and helpers for the HTTP transports, and a request's body read within limits of size and time.

The SDK (mcp 2.3.0, `RequestBodyLimitMiddleware`) limits the size of a body, but waits for it without end. Obsolete when
`test_a_body_that_never_ends_is_given_up` passes with `read_body` left out of `Guard`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ollama_mcp.hosts.principal import Scope as PrincipalScope

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

PRINCIPAL_KEY = "ollama_mcp.principal"
"""Where the scope of an authenticated request has its `Principal`."""

_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}(%\w{1,20})?")
# Loopback is far faster: only a sender that trickles on purpose runs out of time.
_MIN_BYTES_PER_SECOND = 256 * 1024


@dataclass(frozen=True, slots=True)
class Route:
    """What answers at a path, and below, beside the MCP endpoint; for tokens only.

    Args:
        app: What answers.
        scope: The scope that a token needs there.
        takes_body: Whether it receives the bodies of requests itself, as they come.
        running: Is open while the server serves.
    """

    app: ASGIApp
    scope: PrincipalScope
    takes_body: bool = False
    running: Callable[[], AbstractAsyncContextManager[object]] = nullcontext


def route_of(routes: Mapping[str, Route], path: str) -> Route | None:
    """The route of a path."""
    return next((one for root, one in routes.items() if path == root or path.startswith(f"{root}/")), None)


class Refused(Exception):
    """A request that is answered here and never reaches the SDK.

    Args:
        status: HTTP status.
        reason: What is wrong, for the client and the log; values quoted with `!r`.
        fields: Headers of the response.
        text: What the client reads in place of the reason.
    """

    def __init__(
        self, status: int, reason: str, fields: tuple[tuple[bytes, bytes], ...] = (), *, text: str = ""
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.fields = fields
        self.text = text or reason


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


async def read_body(scope: Scope, receive: Receive, *, limit: int, seconds: float) -> bytes:
    """The whole body of a request; see `body_parts`."""
    return b"".join([part async for part in body_parts(scope, receive, limit=limit, seconds=seconds)])


async def body_parts(scope: Scope, receive: Receive, *, limit: int, seconds: float) -> AsyncGenerator[bytes]:
    """The body of a request, in the parts that it comes in.

    Args:
        scope: The request's ASGI scope.
        receive: Its ASGI channel.
        limit: Most bytes.
        seconds: Time for it. Every 256 KiB received add a second.

    Raises:
        Refused: 413 for one that is too large, 408 for one that is too slow.
        ClientGone: The connection ended first.
    """
    declared = declared_bytes(scope)
    if declared > limit:
        raise Refused(413, f"body of {declared} bytes, over {limit}")
    size = 0
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(deadline + size / _MIN_BYTES_PER_SECOND):
                message = await receive()
        except TimeoutError:
            raise Refused(408, f"body unfinished after {size} bytes") from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        # Again, since a chunked body declares nothing.
        if size > limit:
            raise Refused(413, f"body over {limit} bytes")
        yield part
        if not message.get("more_body", False):
            return


def declared_bytes(scope: Scope) -> int:
    """The size of the body that a request declares; 0 where it declares none."""
    return next((int(value) for value in headers(scope, b"content-length") if value.isdigit()), 0)


async def send_text(
    send: Send,
    status: int,
    text: str,
    extra: tuple[tuple[bytes, bytes], ...] = (),
    *,
    content_type: bytes = b"text/plain; charset=utf-8",
) -> None:
    """Send a short response, with `extra` headers."""
    body = text.encode()
    fields = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *extra]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def headers(scope: Scope, name: bytes) -> list[str]:
    """All values of a header, in the order they came."""
    pairs: Iterable[tuple[bytes, bytes]] = scope["headers"]
    # HTTP header bytes have no declared encoding; latin-1 maps every byte.
    return [value.decode("latin-1") for key, value in pairs if key == name]


def client_of(scope: Scope) -> str:
    """Whom limits and sessions count for: the principal of a request, else its address."""
    principal = scope.get(PRINCIPAL_KEY)
    return f"token {principal.name}" if principal is not None else client_address(scope)


def client_address(scope: Scope) -> str:
    """The IP address a request came from; "socket" for a Unix socket."""
    peer: tuple[str, int] | None = scope.get("client")
    if peer is None:
        return "socket"
    # Behind a proxy it is what that says.
    return peer[0] if _ADDRESS.fullmatch(peer[0]) else "unknown"
