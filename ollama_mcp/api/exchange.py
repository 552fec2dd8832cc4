"""A request, its time limits, and its answer in progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ollama_mcp.api import broken, failures
from ollama_mcp.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    import httpx

    from ollama_mcp.api.wire import Wire

MAX_DOCUMENT = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds; None is no limit.

    Attributes:
        connect: TCP and TLS.
        first_byte: From the request to the head of the answer. Ollama says nothing while it loads a model.
        idle: Between two lines of a stream, or two pieces of another answer.
        total: Calls that run no model, from begin to end.
    """

    connect: float | None = 5.0
    first_byte: float | None = None
    idle: float | None = 300.0
    total: float | None = 30.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request to send. `idempotent` ones are sent again when the connection breaks before an answer."""

    method: str
    path: str
    body: bytes | AsyncIterable[bytes] | None = None
    model: str | None = None
    idempotent: bool = False
    size: int | None = None


class Exchange:
    """An answer in progress; closing it early closes its connection."""

    def __init__(self, wire: Wire, call: Call, response: httpx.Response) -> None:
        self.where = wire.where(call)
        self._wire = wire
        self._response = response
        self._parts = aiter(cast("httpx.AsyncByteStream", response.stream))

    async def part(self) -> bytes | None:
        """The next bytes as they come; None at the end."""
        import httpx

        try:
            return await anext(self._parts, None)
        except httpx.TimeoutException:
            raise broken.silent(self.where, self._wire.timeouts.idle, began=True) from None
        except httpx.TransportError as error:
            raise broken.lost_within_answer(self.where) from error

    async def all(self, limit: int = MAX_DOCUMENT) -> bytes:
        """The whole body; BadAnswer where it exceeds the limit."""
        body = bytearray()
        while (part := await self.part()) is not None:
            body += part
            if len(body) > limit:
                raise failures.not_ollama(self.where, f"the answer exceeds {limit // 2**20} MB")
        return bytes(body)

    async def beginning(self, limit: int) -> bytes:
        """At most the first `limit` bytes; what goes wrong on the way ends it early, since the status is the error."""
        body = bytearray()
        try:
            while len(body) < limit and (part := await self.part()) is not None:
                body += part
        except ApiError:
            pass
        return bytes(body[:limit])

    async def aclose(self) -> None:
        """Give the connection back where the answer was read to its end, else close it."""
        self._wire.in_flight -= 1
        await self._response.aclose()
