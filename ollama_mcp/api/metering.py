"""Measures what goes to a host and comes from it: a session that tells a meter of each exchange.

A server that measures nothing loads none of this; where sums are enough, `summing` takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from ollama_mcp.api.http_session import ApiRequest, ApiResponse, HttpSession
from ollama_mcp.api.summing import COUNTED_AT_THE_END, TAIL_BYTES, SumMeter, counts_of
from ollama_mcp.errors import OllamaMCPError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from types import CoroutineType

    from ollama_mcp.api.admission import Ticket
    from ollama_mcp.api.transport import Reply


@dataclass(slots=True)
class Exchange:
    """A request and its answer.

    Attributes:
        host: The host's name.
        address: Its URL.
        method: Of HTTP.
        path: The endpoint.
        model: The model of the request, or "".
        started: When it began, on the monotonic clock.
        sent: When its turn in the queue came; None before.
        first_byte: When the first bytes of the answer's body came.
        ended: When its answer was closed.
        bytes_out: Bytes of the request's body that were sent.
        bytes_in: Bytes of the answer's body that came.
        prompt_tokens: Tokens that the model read.
        tokens: Tokens that it wrote.
        error: Kind of the failure, or "".
        answer: The answer, once its head has come.
        span: What a meter keeps of it.
    """

    host: str
    address: str
    method: str
    path: str
    model: str
    started: float
    sent: float | None = None
    first_byte: float | None = None
    ended: float = 0.0
    bytes_out: int = 0
    bytes_in: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    error: str = ""
    answer: MeteredResponse | None = None
    span: Any = None

    @property
    def is_streamed(self) -> bool:
        """Whether the answer comes token by token."""
        return self.answer is not None and self.answer.is_ndjson


class Meter(SumMeter, Protocol):
    """Is told of each exchange."""

    @property
    def takes_sums(self) -> bool:
        """Whether it is told only the sums of requests: no Exchange is made of them."""
        ...

    def begin(self, exchange: Exchange) -> None:
        """It begins: nothing was sent yet."""
        ...

    def end(self, exchange: Exchange) -> None:
        """It is over."""
        ...


class MeteredResponse(ApiResponse):
    """An answer whose first byte is timed, and whose end is told to a meter.

    Attributes:
        meter: Who is told.
        exchange: What is told.
    """

    meter: Meter
    exchange: Exchange
    _is_closed, _tail = False, b""

    @property
    def is_ndjson(self) -> bool:
        """Whether the answer has lines that come one by one."""
        # As they came: looking a header up by its name takes several times as long.
        return any(name.lower() == b"content-type" and b"ndjson" in value for name, value in self._response.fields)

    async def read_chunk(self) -> bytes | None:
        """The next bytes as they come; None at the end."""
        is_known = self._peeked is not None
        chunk = await super().read_chunk()
        if chunk and not is_known:
            if self.exchange.first_byte is None:
                self.exchange.first_byte = monotonic()
            if self.request.path in COUNTED_AT_THE_END:
                self._tail = (self._tail + chunk)[-TAIL_BYTES:]
        return chunk

    def discard(self) -> CoroutineType[Any, Any, None]:
        """Close an answer that is an error."""
        self.exchange.bytes_in += self._response.received
        return super().discard()

    def aclose(self) -> CoroutineType[Any, Any, None]:
        """End the exchange, and close the answer as any answer is closed."""
        if not self._is_closed:
            self._is_closed = True
            self._end(self.exchange)
        return super().aclose()

    def _end(self, exchange: Exchange) -> None:
        exchange.prompt_tokens, exchange.tokens = counts_of(self, self._tail)
        exchange.bytes_in += self._response.received
        if self._error is not None:
            exchange.error = "interrupted"
        exchange.ended = monotonic()
        self.meter.end(exchange)
        # Two that refer to each other would wait for the garbage collector, with all that they refer to.
        exchange.answer = None


class MeteredSession(HttpSession):
    """A session that tells a meter of all that it sends; arguments as of HttpSession."""

    def __init__(self, base_url: str, *, meter: Meter, **arguments: Any) -> None:
        super().__init__(base_url, **arguments)
        self.meter = meter
        self.response_type = self._response_to
        # By the identity of the request, while it is being sent.
        self._exchanges: dict[int, Exchange] = {}

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Send a request; see HttpSession."""
        exchange = Exchange(self.name, self.base_url, request.method, request.path, request.model or "", monotonic())
        if request.body is not None and not isinstance(request.body, bytes):
            request = replace(request, body=_counted(request.body, exchange))
        self.meter.begin(exchange)
        self._exchanges[id(request)] = exchange
        try:
            return await super().send(request)
        except BaseException as error:
            exchange.error = error.kind if isinstance(error, OllamaMCPError) else "cancelled"
            exchange.ended = monotonic()
            self.meter.end(exchange)
            raise
        finally:
            del self._exchanges[id(request)]

    def _response_to(
        self, session: HttpSession, request: ApiRequest, response: Reply, ticket: Ticket | None = None
    ) -> MeteredResponse:
        answer = MeteredResponse(session, request, response, ticket)
        exchange = self._exchanges[id(request)]
        answer.meter, answer.exchange, exchange.answer = self.meter, exchange, answer
        return answer

    def _send(self, request: ApiRequest, ticket: Ticket | None) -> CoroutineType[Any, Any, ApiResponse]:
        exchange = self._exchanges[id(request)]
        exchange.sent = monotonic()
        if isinstance(request.body, bytes):
            exchange.bytes_out += len(request.body)
        return super()._send(request, ticket)


async def _counted(body: AsyncIterable[bytes], exchange: Exchange) -> AsyncIterator[bytes]:
    async for part in body:
        exchange.bytes_out += len(part)
        yield part
