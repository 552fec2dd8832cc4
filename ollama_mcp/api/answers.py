"""The streams of generate, chat and the model operations: what they note, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from ollama_mcp.api.events import ChatChunk, ChatResponse, Chunk, GenerateChunk, GenerateResponse, ProgressEvent
from ollama_mcp.api.gate import lacking
from ollama_mcp.api.stream import Stream
from ollama_mcp.api.thinking import ThinkingSplitter
from ollama_mcp.api.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ollama_mcp.api.events import Json, ToolCall
    from ollama_mcp.api.exchange import Exchange

C = TypeVar("C", bound=Chunk)


@dataclass(slots=True)
class Expected:
    """What the answer must show, since the server's version did not tell; set when the request is sent."""

    logprobs: bool = False


class ChunkStream(Stream[C]):
    """Pieces of an answer; `text` and `thinking` are what has come so far."""

    def __init__(
        self,
        send: Callable[[], Awaitable[Exchange]],
        read: Callable[[Json], C],
        *,
        idle: float | None,
        split_thinking: bool,
        expected: Expected,
    ) -> None:
        super().__init__(send, read, idle=idle)
        self._splitter = ThinkingSplitter() if split_thinking else None
        self._expected = expected
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._tool_calls: list[ToolCall] = []
        self._logprobs: list[Json] = []

    @property
    def text(self) -> str:
        """The text so far, without thinking."""
        return "".join(self._text)

    @property
    def thinking(self) -> str:
        """The thinking so far."""
        return "".join(self._thinking)

    def _sums(self, last: C) -> dict[str, Any]:
        """The fields of the last piece, with the sums of all where they add up."""
        return {field.name: getattr(last, field.name) for field in fields(Chunk)} | {
            "text": self.text,
            "thinking": self.thinking,
            "tool_calls": self._tool_calls,
            "logprobs": self._logprobs,
        }

    def _take(self, event: C) -> None:
        if self._splitter is not None:
            self._split(event, self._splitter)
        if event.text:
            self._text.append(event.text)
        if event.thinking:
            self._thinking.append(event.thinking)
        self._tool_calls.extend(event.tool_calls)
        self._logprobs.extend(event.logprobs)
        if event.done and self._expected.logprobs and self._text and not self._logprobs:
            raise lacking(self._open_exchange.where, Feature.LOGPROBS)

    def _split(self, event: C, splitter: ThinkingSplitter) -> None:
        if event.thinking:
            # The server splits by itself, so what is left in the text is the answer.
            before, held = splitter.finish()
            event.thinking, event.text = before + event.thinking, held + event.text
            self._splitter = None
            return
        event.thinking, event.text = splitter.feed(event.text)
        if event.done:
            thinking, text = splitter.finish()
            event.thinking, event.text = event.thinking + thinking, event.text + text
        if event.done or splitter.settled:
            self._splitter = None

    def _stop_holding(self) -> None:
        if self._splitter is not None:
            thinking, text = self._splitter.finish()
            self._thinking.append(thinking)
            self._text.append(text)
            self._splitter = None


class GenerateStream(ChunkStream[GenerateChunk]):
    """Pieces of an answer of generate."""

    async def collect(self) -> GenerateResponse:
        """Read to the end and return the whole answer, or what had come of a stream that was left early."""
        last = await self._read_on()
        return GenerateResponse(**self._sums(last), context=last.context)


class ChatStream(ChunkStream[ChatChunk]):
    """Pieces of an answer of chat."""

    async def collect(self) -> ChatResponse:
        """Read to the end and return the whole answer, or what had come of a stream that was left early."""
        return ChatResponse(**self._sums(await self._read_on()))


class ProgressStream(Stream[ProgressEvent]):
    """Steps of create, pull or push."""

    async def collect(self) -> ProgressEvent:
        """Read to the end and return the last step, a success."""
        return await self._read_on()
