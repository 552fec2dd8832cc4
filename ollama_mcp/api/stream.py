"""Streams of events: line by line from the socket, errors of every line raised, closed the moment nobody reads on."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar, cast

from ollama_mcp.api import broken, failures
from ollama_mcp.api.lines import MAX_LINE, LineBuffer, LineTooLong, parse_line
from ollama_mcp.errors import ApiError, InternalError, Interrupted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ollama_mcp.api.exchange import Exchange

_IN_THREAD = 256 * 2**10
# What follows the last line is the end of the HTTP message, which is already on its way.
_DRAIN_SECONDS = 1.0


class Event(Protocol):
    """What a stream delivers."""

    @property
    def done(self) -> bool:
        """Whether it is the last one of a whole answer."""
        ...


E = TypeVar("E", bound=Event)


class Stream(Generic[E]):
    """Events of a running request; the request is sent when the stream is entered or first read.

    `async with client.chat(request) as stream: async for chunk in stream: ...`. Leaving early, cancelling and `aclose`
    close the connection, which is how Ollama is told to stop.

    Reading raises an ApiError for an error line, a broken connection, or an end before the last event; its `partial`
    holds the text that had come.
    """

    def __init__(
        self,
        send: Callable[[], Awaitable[Exchange]],
        read: Callable[[dict[str, Any]], E],
        *,
        idle: float | None,
    ) -> None:
        self._send = send
        self._read = read
        self._idle = idle
        self._exchange: Exchange | None = None
        self._buffer = LineBuffer()
        self._lines: deque[bytes] = deque()
        self._line_began = 0.0
        self._last: E | None = None
        self._done = self._ended = self._closed = False

    @property
    def text(self) -> str:
        """The text so far, without thinking."""
        return ""

    @property
    def thinking(self) -> str:
        """The thinking so far."""
        return ""

    async def __aenter__(self) -> Self:
        if self._exchange is None and not self._closed:
            try:
                self._exchange = await self._send()
            except BaseException:
                self._closed = True
                raise
            self._line_began = monotonic()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        try:
            if self._exchange is None:
                await self.__aenter__()
            while not self._lines:
                if self._ended or self._closed:
                    raise StopAsyncIteration
                await self._receive()
            event = await self._event(self._lines.popleft())
            self._done = self._done or event.done
            self._last = event
            self._take(event)
        except ApiError as error:
            await self.aclose()
            error.partial = self.text
            raise
        except BaseException:
            await self.aclose()
            raise
        return event

    async def aclose(self) -> None:
        """End the request; its connection is kept only if the answer was read to its end."""
        if self._closed:
            return
        self._closed = True
        self._stop_holding()
        if self._exchange is None:
            return
        try:
            while self._done and not self._ended:
                await self._receive()
        finally:
            await self._exchange.aclose()

    async def _read_on(self) -> E:
        """Read to the end and return the last event."""
        async with self:
            async for _ in self:
                pass
        if self._last is None:
            raise InternalError("The stream was closed before anything was read.")
        return self._last

    def _take(self, event: E) -> None:
        """Note what an event brought."""

    def _stop_holding(self) -> None:
        """Make text that was held back part of `text`, since nothing more will come."""

    async def _receive(self) -> None:
        """Read the next bytes into lines; at the end, make sure that the answer was whole."""
        part = await (self._after_last() if self._done else self._open_exchange.part())
        if part is None:
            self._ended = True
            if (rest := self._buffer.rest()).strip():
                self._lines.append(rest)
            elif not self._done:
                raise self._unfinished()
            return
        try:
            self._lines.extend(self._buffer.feed(part))
        except LineTooLong:
            raise self._not_ollama(f"a line exceeds {MAX_LINE // 2**20} MB") from None
        now = monotonic()
        if self._lines:
            self._line_began = now
        elif self._idle is not None and now - self._line_began > self._idle:
            raise broken.silent(self._open_exchange.where, self._idle, began=True)

    async def _after_last(self) -> bytes | None:
        """Read what follows the last line, mostly the end of the HTTP message.

        Only after it the connection can serve again; a server that holds the end back loses the connection.
        """
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                return await self._open_exchange.part()
        except (TimeoutError, ApiError):
            return None

    async def _event(self, line: bytes) -> E:
        try:
            data = await asyncio.to_thread(parse_line, line) if len(line) > _IN_THREAD else parse_line(line)
        except ValueError:
            raise self._not_ollama(f"{failures.shown_body(line)} is not JSON") from None
        if not isinstance(data, dict):
            raise self._not_ollama(f"{failures.shown_body(line)} is not an object")
        fields = cast("dict[str, Any]", data)
        if "error" in fields:
            raise failures.from_error(self._open_exchange.where, fields, None)
        try:
            return self._read(fields)
        except (ValueError, TypeError, AttributeError) as error:
            raise self._not_ollama(f"{error} in {failures.shown_body(line)}") from None

    @property
    def _open_exchange(self) -> Exchange:
        return cast("Exchange", self._exchange)

    def _not_ollama(self, what: str) -> ApiError:
        return failures.not_ollama(self._open_exchange.where, what)

    def _unfinished(self) -> ApiError:
        if self._last is None:
            return self._not_ollama("the answer is empty")
        where = self._open_exchange.where
        return where.error(
            Interrupted,
            f"The answer of {where.place} to {where.endpoint} ended before its last line.",
            "The model may have repeated itself (raise options.repeat_penalty) or the server was stopped; ask again.",
        )
