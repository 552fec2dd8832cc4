"""Adds up what goes to a host and comes from it, for a meter that wants no more than the sums.

A server that keeps no ledger loads none of this. Where exchanges are told one by one, `metering` takes its place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol, cast

from ollama_mcp.api.admission import MODEL_PATHS
from ollama_mcp.api.http_session import ApiRequest, ApiResponse, HttpSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from types import CoroutineType

    from ollama_mcp.api.admission import Ticket
    from ollama_mcp.api.transport import Reply

# The answers whose counts no stream tells.
COUNTED_AT_THE_END = MODEL_PATHS - {"/api/chat", "/api/generate"}
# How much of the end of an answer is looked through.
TAIL_BYTES = 512
# Where the counts stand in an answer that is one JSON object. In a text of the model the quotes would be escaped.
_COUNTS = re.compile(rb'"(?P<name>prompt_eval_count|eval_count|input_tokens|output_tokens)":\s*(?P<count>\d{1,12})')
_READ = frozenset((b"prompt_eval_count", b"input_tokens"))


class SumMeter(Protocol):
    """Is told sums."""

    def add(
        self, host: str, address: str, model: str, requests: int, prompt_tokens: int, tokens: int, out: int, came: int
    ) -> None:
        """Add to the sums of a host and a model; `out` and `came` are bytes of bodies."""
        ...


def counts_of(answer: ApiResponse, tail: bytes) -> tuple[int, int]:
    """The tokens that a model read and wrote for an answer, as far as it came; `tail` is the end of its body."""
    if (stats := answer.stats) is not None:
        return stats.prompt_eval_count or 0, stats.eval_count or 0
    read = written = 0
    for found in _COUNTS.finditer(tail):
        if found["name"] in _READ:
            read = int(found["count"])
        else:
            written = int(found["count"])
    return read, written


class SummedResponse(ApiResponse):
    """An answer whose sums are told when it is closed.

    What is not there costs nothing: a coroutine around each of its reads would cost as much as all else of a meter.
    """

    _is_closed, _tail = False, b""

    def discard(self) -> CoroutineType[Any, Any, None]:
        """Close an answer that is an error: the request itself is counted later."""
        cast("SummedSession", self._session).add(self.request, 0, 0, self._response.received)
        return super().discard()

    def aclose(self) -> CoroutineType[Any, Any, None]:
        """Tell the sums, and close the answer as any answer is closed."""
        if not self._is_closed:
            self._is_closed = True
            session, request = self._session, self.request
            # `cast` would be one more call for each answer.
            assert isinstance(session, SummedSession)
            read, written = counts_of(self, self._tail)
            out = len(request.body) if isinstance(request.body, bytes) else 0
            came = self._response.received
            session.meter.add(session.name, session.base_url, request.model or "", 1, read, written, out, came)
        return super().aclose()


class _CountedResponse(SummedResponse):
    """The same, whose end is looked through for counts."""

    async def read_chunk(self) -> bytes | None:
        is_new = self._peeked is None
        chunk = await super().read_chunk()
        if chunk and is_new:
            self._tail = (self._tail + chunk)[-TAIL_BYTES:]
        return chunk


class SummedSession(HttpSession):
    """A session that tells a meter the sums of all that it sends; arguments as of HttpSession."""

    def __init__(self, base_url: str, *, meter: SumMeter, **arguments: Any) -> None:
        super().__init__(base_url, **arguments)
        self.meter = meter
        self.response_type = _response
        self._streamed = self._counted

    def add(self, request: ApiRequest, requests: int, out: int, came: int) -> None:
        """Add to the sums of the model of a request that got no answer of a model."""
        self.meter.add(self.name, self.base_url, request.model or "", requests, 0, 0, out, came)

    def _note_failure(self, request: ApiRequest, *, is_sent: bool) -> None:
        self.add(request, 1, len(request.body) if is_sent and isinstance(request.body, bytes) else 0, 0)

    async def _counted(self, request: ApiRequest, body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        async for part in body:
            self.add(request, 0, len(part), 0)
            yield part


def _response(
    session: HttpSession, request: ApiRequest, response: Reply, ticket: Ticket | None = None
) -> SummedResponse:
    make = _CountedResponse if request.path in COUNTED_AT_THE_END else SummedResponse
    return make(session, request, response, ticket)
