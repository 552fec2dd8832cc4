"""Measures what goes to a host and comes from it: a session that tells a meter of each exchange.

A server that measures nothing loads none of this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from ollama_mcp.api.admission import MODEL_PATHS
from ollama_mcp.api.http_session import ApiRequest, ApiResponse, HttpSession
from ollama_mcp.errors import OllamaMCPError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from types import CoroutineType

    import httpx

    from ollama_mcp.api.admission import Ticket

# Where the counts stand in an answer that is one JSON object. In a text of the model the quotes would be escaped.
_COUNTS = re.compile(rb'"(?P<name>prompt_eval_count|eval_count|input_tokens|output_tokens)":\s*(?P<count>\d{1,12})')
_TAIL_BYTES = 512
# The answers whose counts no stream tells.
_COUNTED_AT_THE_END = MODEL_PATHS - {"/api/chat", "/api/generate"}
_READ = frozenset((b"prompt_eval_count", b"input_tokens"))


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


class Meter(Protocol):
    """Is told of each exchange."""

    @property
    def takes_sums(self) -> bool:
        """Whether it is told only the sums of a request whose body is whole: no Exchange is made of that."""
        ...

    def begin(self, exchange: Exchange) -> None:
        """It begins: nothing was sent yet."""
        ...

    def end(self, exchange: Exchange) -> None:
        """It is over."""
        ...

    def add(
        self, host: str, address: str, model: str, requests: int, prompt_tokens: int, tokens: int, out: int, came: int
    ) -> None:
        """Add to the sums of a host and a model; `out` and `came` are bytes of bodies."""
        ...


class MeteredResponse(ApiResponse):
    """An answer whose end is told to a meter.

    What is not there costs nothing: a coroutine around each of its reads would cost as much as all else of a meter.

    Attributes:
        metered: The session that it came by.
        exchange: What is told; None where sums are.
    """

    metered: MeteredSession
    exchange: Exchange | None = None
    _is_closed, _tail = False, b""

    @property
    def is_ndjson(self) -> bool:
        """Whether the answer has lines that come one by one."""
        # As they came: looking a header up by its name takes several times as long.
        return any(name.lower() == b"content-type" and b"ndjson" in value for name, value in self._response.headers.raw)

    def discard(self) -> CoroutineType[Any, Any, None]:
        """Close an answer that is an error."""
        if self.exchange is not None:
            self.exchange.bytes_in += self._received
        else:
            self.metered.add(self.request, 0, 0, 0, self._received)
        return super().discard()

    def aclose(self) -> CoroutineType[Any, Any, None]:
        """End the exchange, and close the answer as any answer is closed."""
        if not self._is_closed:
            self._is_closed = True
            self._end()
        return super().aclose()

    @property
    def _received(self) -> int:
        return getattr(self._response.stream, "received", 0)

    def _end(self) -> None:
        read = written = 0
        if (stats := self.stats) is not None:
            read, written = stats.prompt_eval_count or 0, stats.eval_count or 0
        elif self._tail:
            for found in _COUNTS.finditer(self._tail):
                if found["name"] in _READ:
                    read = int(found["count"])
                else:
                    written = int(found["count"])
        exchange = self.exchange
        if exchange is None:
            self.metered.add(self.request, 1, read, written, self._received)
            return
        exchange.prompt_tokens, exchange.tokens = read, written
        exchange.bytes_in += self._received
        if self._error is not None:
            exchange.error = "interrupted"
        exchange.ended = monotonic()
        self.metered.meter.end(exchange)
        # Two that refer to each other would wait for the garbage collector, with all that they refer to.
        exchange.answer = None


class ReadResponse(MeteredResponse):
    """The same, whose first byte is timed, and whose end is looked through for counts."""

    async def read_chunk(self) -> bytes | None:
        """The next bytes as they come; None at the end."""
        is_known = self._peeked is not None
        chunk = await super().read_chunk()
        if chunk and not is_known:
            if self.exchange is not None and self.exchange.first_byte is None:
                self.exchange.first_byte = monotonic()
            if self.request.path in _COUNTED_AT_THE_END:
                self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
        return chunk


class MeteredSession(HttpSession):
    """A session that tells a meter of all that it sends; arguments as of HttpSession."""

    def __init__(self, base_url: str, *, meter: Meter, **arguments: Any) -> None:
        super().__init__(base_url, **arguments)
        self.meter = meter
        self.response_type = self._response_to
        # By the identity of the request, while it is being sent.
        self._exchanges: dict[int, Exchange] = {}

    def send(self, request: ApiRequest) -> CoroutineType[Any, Any, ApiResponse]:
        """Send a request; see HttpSession."""
        is_whole = request.body is None or isinstance(request.body, bytes)
        return super().send(request) if is_whole and self.meter.takes_sums else self._send_followed(request)

    def add(
        self, request: ApiRequest, requests: int, read: int, written: int, came: int, *, is_sent: bool = True
    ) -> None:
        """Add to the sums of the model of a request."""
        out = len(request.body) if requests and is_sent and isinstance(request.body, bytes) else 0
        self.meter.add(self.name, self.base_url, request.model or "", requests, read, written, out, came)

    async def _send_followed(self, request: ApiRequest) -> ApiResponse:
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

    def _note_failure(self, request: ApiRequest, *, is_sent: bool) -> None:
        if id(request) not in self._exchanges:
            self.add(request, 1, 0, 0, 0, is_sent=is_sent)

    def _response_to(
        self, session: MeteredSession, request: ApiRequest, response: httpx.Response, ticket: Ticket | None = None
    ) -> MeteredResponse:
        exchange = self._exchanges.get(id(request)) if self._exchanges else None
        is_read = request.path in _COUNTED_AT_THE_END or (exchange is not None and not self.meter.takes_sums)
        answer = (ReadResponse if is_read else MeteredResponse)(session, request, response, ticket)
        answer.metered = self
        if exchange is not None:
            answer.exchange, exchange.answer = exchange, answer
        return answer

    def _send(self, request: ApiRequest, ticket: Ticket | None) -> CoroutineType[Any, Any, ApiResponse]:
        if self._exchanges and (exchange := self._exchanges.get(id(request))) is not None:
            exchange.sent = monotonic()
            if isinstance(request.body, bytes):
                exchange.bytes_out += len(request.body)
        return super()._send(request, ticket)


async def _counted(body: AsyncIterable[bytes], exchange: Exchange) -> AsyncIterator[bytes]:
    async for part in body:
        exchange.bytes_out += len(part)
        yield part
