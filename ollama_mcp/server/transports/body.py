"""Reads a request's body within limits of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]

_BYTES_PER_SECOND = 256 * 1024


class Refused(Exception):
    """A request that is answered here and never reaches the SDK.

    Args:
        status: HTTP status.
        reason: What is wrong, for the client and the log; values quoted with `!r`.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


async def read_body(scope: Scope, receive: Receive, *, limit: int, seconds: float) -> bytes:
    """The whole body of a request.

    Args:
        scope: The request's ASGI scope.
        receive: Its ASGI channel.
        limit: Most bytes.
        seconds: Time for it; every 256 KiB that came add a second.

    Raises:
        Refused: 413 for one that is too large, 408 for one that is too slow.
        ClientGone: The connection ended first.
    """
    declared = next((int(value) for value in header(scope, b"content-length") if value.isdigit()), 0)
    if declared > limit:
        raise Refused(413, f"body of {declared} bytes, over {limit}")
    parts: list[bytes] = []
    size = 0
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(deadline + size / _BYTES_PER_SECOND):
                message = await receive()
        except TimeoutError:
            raise Refused(408, f"body unfinished after {size} bytes") from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise Refused(413, f"body over {limit} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def header(scope: Scope, name: bytes) -> list[str]:
    """All values of a header, in the order they came."""
    pairs: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value.decode("latin-1") for each, value in pairs if each == name]
