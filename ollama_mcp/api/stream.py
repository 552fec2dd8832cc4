"""Streams of newline-delimited JSON (NDJSON): bytes to lines to events, closed as soon as nobody reads on."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar, cast

from ollama_mcp.api import error_mapping
from ollama_mcp.errors import ApiError, InternalError, Interrupted, NotInTime
from ollama_mcp.formats.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ollama_mcp.api.events import Json, ProgressEvent
    from ollama_mcp.api.http_session import ApiResponse, RequestInfo

MAX_LINE = 16 * 2**20
# Bytes from which a line is parsed in a thread, so that the event loop is not blocked.
_PARSE_IN_THREAD = 256 * 2**10
# What follows the last line is the end of the HTTP message, which is already on its way.
_DRAIN_SECONDS = 1.0

_NDJSON = "application/x-ndjson"


class StreamEvent(Protocol):
    """What a stream delivers."""

    @property
    def done(self) -> bool:
        """Whether it is the last event of a complete response."""
        ...


E = TypeVar("E", bound=StreamEvent)


class Stream(Generic[E]):
    """Events of a running request, which is sent when the stream is entered or first read.

    `async with client.chat(request) as stream: async for chunk in stream: ...`. Leaving early, cancelling and `aclose`
    close the connection, which tells Ollama to stop. An answer that was asked for as one object (`stream: false`) comes
    as one event, and `idle` is the limit of all of it.

    Reading raises an ApiError for an error line, a broken connection, or an end before the last event; its `partial`
    holds the text received so far.

    Args:
        send: Sends the request.
        parse: Makes an event of a line's JSON object; raises ValueError where it does not fit.
        idle: Seconds within which a whole line must come; None for no limit.
        whole: The request whose answer comes as one object, with `idle` for its limit; None where it comes in lines, or
            the request has another limit.
    """

    def __init__(
        self,
        send: Callable[[], Awaitable[ApiResponse]],
        parse: Callable[[Json], E],
        *,
        idle: float | None,
        whole: RequestInfo | None = None,
    ) -> None:
        self._send = send
        self._parse = parse
        self._idle = idle
        self._whole = whole
        self._response: ApiResponse | None = None
        self._buffer = LineBuffer()
        self._lines: deque[bytes] = deque()
        self._line_started = 0.0
        self._last: E | None = None
        # The last event was read; the response was read to its end; the stream was closed.
        self._done = self._exhausted = self._closed = False
        # Lines that `advance` has taken.
        self.received = 0

    @property
    def text(self) -> str:
        """The text so far, without thinking."""
        return ""

    @property
    def thinking(self) -> str:
        """The thinking so far."""
        return ""

    async def __aenter__(self) -> Self:
        if self._response is None and not self._closed:
            try:
                self._response = await self._send()
            except BaseException:
                self._closed = True
                raise
            self._line_started = monotonic()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        try:
            if not await self._wait_for_line():
                raise StopAsyncIteration
            return await self._take_line()
        except BaseException as error:
            await self._close_after(error)
            raise

    async def advance(self) -> bool:
        """Take all that has come, after waiting for some of it; returns False at the end.

        Cheaper than iterating where only the whole is of interest, or now and then the text so far.
        """
        try:
            if not await self._wait_for_line():
                await self.aclose()
                return False
            lines = self._lines
            self.received += len(lines)
            while lines:
                if self._take_plain(lines[0]):
                    lines.popleft()
                else:
                    await self._take_line()
        except BaseException as error:
            await self._close_after(error)
            raise
        return True

    async def aclose(self) -> None:
        """End the request; its connection is kept only if the response was read to its end."""
        if self._closed:
            return
        self._closed = True
        self._flush()
        if self._response is None:
            return
        try:
            while self._done and not self._exhausted:
                await self._receive(self._response)
        finally:
            await self._response.aclose()

    async def _read_to_end(self) -> E:
        """Read all events and return the last one."""
        if self._whole is not None and not self._closed:
            # Nothing comes before the answer, so that only its beginning can be waited for.
            try:
                await anext(self, None)
            except NotInTime:
                raise error_mapping.timeout_error(self._whole, self._idle) from None
        if not self._closed:
            async with self:
                while await self.advance():
                    pass
        if self._last is None:
            raise InternalError("The stream was closed before anything was read.")
        return self._last

    async def _close_after(self, error: BaseException) -> None:
        await self.aclose()
        if isinstance(error, ApiError):
            error.partial = self.text

    async def _wait_for_line(self) -> bool:
        """Wait until a line is there; returns False at the end of a response that was complete."""
        if self._response is None:
            await self.__aenter__()
        while not self._lines:
            if self._response is None or self._closed:
                return False
            if self._exhausted:
                if not self._done:
                    raise self._incomplete_error(self._response)
                return False
            await self._receive(self._response)
        return True

    async def _take_line(self) -> E:
        event = await self._parse_line(self._lines.popleft())
        self._done = self._done or event.done
        self._last = event
        self._record(event)
        return event

    def _take_plain(self, line: bytes) -> bool:
        """Whether a line was nothing but further text, which was recorded without making an event of it."""
        return False

    def _record(self, event: E) -> None:
        """Keep what an event brings."""

    def _flush(self) -> None:
        """Release text that was held back, since nothing more will come."""

    async def _receive(self, response: ApiResponse) -> None:
        """Read the next bytes into lines."""
        chunk = await (self._read_trailer(response) if self._done else response.read_chunk())
        if chunk is None:
            self._exhausted = True
            if (rest := self._buffer.take_rest()).strip():
                self._lines.append(rest)
            return
        try:
            self._lines.extend(self._buffer.feed(chunk))
        except LineTooLong:
            raise self._unexpected(f"a line exceeds {MAX_LINE // 2**20} MB") from None
        now = monotonic()
        if self._lines:
            self._line_started = now
        elif self._idle is not None and now - self._line_started > self._idle:
            # A server that trickles bytes without ever ending a line is as stuck as a silent one.
            raise error_mapping.timeout_error(response.request_info, self._idle, started=True)

    async def _read_trailer(self, response: ApiResponse) -> bytes | None:
        """Read what follows the last line, normally the end of the HTTP message.

        Only then can the connection be reused; a server that holds the end back loses the connection.
        """
        if response.is_at_end:
            # Mostly, and a time limit costs more than all else here.
            return await response.read_chunk()
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                return await response.read_chunk()
        except (TimeoutError, ApiError):
            return None

    async def _parse_line(self, line: bytes) -> E:
        response = cast("ApiResponse", self._response)
        try:
            data = await asyncio.to_thread(parse_json, line) if len(line) > _PARSE_IN_THREAD else parse_json(line)
        except ValueError:
            raise self._unexpected(f"{_quoted(response, line)} is not JSON") from None
        if not isinstance(data, dict):
            raise self._unexpected(f"{_quoted(response, line)} is not a JSON object")
        fields = cast("Json", data)
        if "error" in fields:
            if (shown := response.without_secrets(line)) != line:
                fields = cast("Json", parse_json(shown))
            raise error_mapping.error_from_json(response.request_info, fields, None)
        try:
            return self._parse(fields)
        except (ValueError, TypeError, AttributeError) as error:
            raise self._unexpected(f"{error} in {_quoted(response, line)}") from None

    def _unexpected(self, what: str) -> ApiError:
        return error_mapping.unexpected_response(cast("ApiResponse", self._response).request_info, what)

    def _incomplete_error(self, response: ApiResponse) -> ApiError:
        info = response.request_info
        if self._last is None and response.content_type.partition(";")[0].strip() != _NDJSON:
            return self._unexpected("the response is empty")
        if self._last is None:
            # Only Ollama labels a response so: its engine ended before the first line.
            return info.error(
                Interrupted,
                f"Ollama at {info.host_label} returned an empty answer to {info.endpoint}.",
                "Try again; if it persists, raise options.repeat_penalty, rephrase, or see that server's log.",
            )
        return info.error(
            Interrupted,
            f"The response of {info.host_label} to {info.endpoint} ended before its last line.",
            "The model may have repeated itself (raise options.repeat_penalty) or the server was stopped; try again.",
        )


def _quoted(response: ApiResponse, line: bytes) -> str:
    return error_mapping.quote_body(response.without_secrets(line))


class ProgressStream(Stream["ProgressEvent"]):
    """Steps of create, pull or push."""

    async def collect(self) -> ProgressEvent:
        """Read to the end and return the last step, a success."""
        return await self._read_to_end()


class LineTooLong(Exception):
    """A line exceeds MAX_LINE."""


class LineBuffer:
    """Splits bytes into lines; a line may come in any number of chunks.

    Only "\\n" ends a line, since JSON strings may contain U+2028 and the like; "\\r" is white space to JSON.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the lines that they complete, blank ones left out.

        Raises:
            LineTooLong: The line in progress exceeds the limit; it is dropped.
        """
        *lines, rest = data.split(b"\n")
        # Nearly always a chunk is one whole line, and there is nothing to join.
        if lines and (self._parts or len(lines[0]) > self._limit):
            self._hold(lines[0])
            lines[0] = self.take_rest()
        if rest:
            self._hold(rest)
        return [line for line in lines if line and not line.isspace()]

    def take_rest(self) -> bytes:
        """Return what came after the last line end, and forget it."""
        line = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return line

    def _hold(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            self._parts.clear()
            self._size = 0
            raise LineTooLong
        self._parts.append(part)
