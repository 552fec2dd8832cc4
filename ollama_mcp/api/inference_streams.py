"""The streams of generate and chat: what they accumulate, and the separation of thinking from the answer."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ollama_mcp.api.events import ChatChunk, ChatResponse, Chunk, GenerateChunk, GenerateResponse, Stats
from ollama_mcp.api.stream import Stream
from ollama_mcp.api.versions import Feature, unsupported_feature

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ollama_mcp.api.events import Json, ToolCall
    from ollama_mcp.api.http_session import ApiResponse, RequestInfo

C = TypeVar("C", bound=Chunk)


class _Message(msgspec.Struct, gc=False):
    content: str = ""
    thinking: str = ""
    tool_calls: object = None


class _ChatLine(msgspec.Struct, gc=False):
    """A line of chat that brings text; whatever else it may bring is only looked for."""

    message: _Message
    done: bool = False
    logprobs: object = None
    error: object = None

    def pieces(self) -> tuple[str, str] | None:
        """The text and the thinking, where it brings nothing else."""
        message = self.message
        if self.done or self.logprobs is not None or self.error is not None or message.tool_calls is not None:
            return None
        return message.content, message.thinking


class _GenerateLine(msgspec.Struct, gc=False):
    """The same of generate."""

    response: str
    thinking: str = ""
    done: bool = False
    logprobs: object = None
    error: object = None
    tool_calls: object = None

    def pieces(self) -> tuple[str, str] | None:
        """The text and the thinking, where it brings nothing else."""
        if self.done or self.logprobs is not None or self.error is not None or self.tool_calls is not None:
            return None
        return self.response, self.thinking


_FIELDS = tuple(field.name for field in fields(Chunk))
_CHAT_LINES = msgspec.json.Decoder(_ChatLine)
_GENERATE_LINES = msgspec.json.Decoder(_GenerateLine)
# Lines beyond are parsed in a thread.
_MAX_PLAIN = 4_096

_OPEN, _CLOSE = "<think>", "</think>"
# A closing tag that ends its line, as models write it; one in quotes or backticks is a word about tags.
_LONE_CLOSE = re.compile(r"(?<![`'\"\w])</think>[ \t]*(?:\n\s*|\Z)")
_ABOUT_TAGS = re.compile(r"\btags?\b|:\s*\Z", re.IGNORECASE)


class ChunkStream(Stream[C]):
    """Chunks of an answer; `text` and `thinking` are what has been received so far.

    Args:
        send: As in Stream.
        parse: As in Stream.
        idle: As in Stream.
        whole: As in Stream.
        split_thinking: Whether to separate a `<think>` block from the text.
        wants_logprobs: Whether the request asks for logprobs.

    Attributes:
        prompt_tokens: Estimated tokens of the prompt, which count where the answer is cut before its own count came.
    """

    def __init__(
        self,
        send: Callable[[], Awaitable[ApiResponse]],
        parse: Callable[[Json], C],
        *,
        idle: float | None,
        whole: RequestInfo | None = None,
        split_thinking: bool,
        wants_logprobs: bool,
    ) -> None:
        super().__init__(send, parse, idle=idle, whole=whole)
        self._split_thinking = self._may_begin_with_tag = split_thinking
        self._splitter: ThinkingSplitter | None = None
        self._wants_logprobs = wants_logprobs
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._tool_calls: list[ToolCall] = []
        self._logprobs: list[Json] = []
        self.prompt_tokens = 0

    @property
    def stats(self) -> Stats | None:
        """The counts of the answer, estimated for one that was cut once it had begun; None before."""
        return None if self._response is None else self._response.stats

    @property
    def text(self) -> str:
        """The text so far, without thinking."""
        return "".join(self._text)

    @property
    def thinking(self) -> str:
        """The thinking so far."""
        return "".join(self._thinking)

    def _decode(self, line: bytes) -> tuple[str, str] | None:
        """The text and the thinking of a line that brings nothing else; raises what msgspec does."""
        raise NotImplementedError

    def _take_plain(self, line: bytes) -> bool:
        # The first line may open the thinking. What does not fit the type is read again, and then explained.
        if self._last is None or self._splitter is not None or len(line) > _MAX_PLAIN:
            return False
        try:
            pieces = self._decode(line)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return False
        if pieces is None:
            return False
        text, thinking = pieces
        if text:
            self._text.append(text)
        if thinking:
            self._thinking.append(thinking)
        return True

    def _combined_fields(self, last: C) -> dict[str, Any]:
        """The fields of the last chunk, with those that accumulate taken from all chunks."""
        thinking, text = "".join(self._thinking), "".join(self._text)
        if self._split_thinking and not thinking and _CLOSE in text:
            thinking, text = split_at_lone_tag(text)
        return {name: getattr(last, name) for name in _FIELDS} | {
            "text": text,
            "thinking": thinking,
            "tool_calls": self._tool_calls,
            "logprobs": self._logprobs,
        }

    def _record(self, event: C) -> None:
        if self._may_begin_with_tag:
            self._may_begin_with_tag = False
            # Only a tag at the very start counts, so the first chunk mostly tells that nothing is to be split.
            begin = event.text.lstrip()
            if not event.thinking and (not begin or begin[0] == _OPEN[0]):
                self._splitter = ThinkingSplitter()
        if self._splitter is not None:
            self._split(event, self._splitter)
        if event.text:
            self._text.append(event.text)
        if event.thinking:
            self._thinking.append(event.thinking)
        self._tool_calls.extend(event.tool_calls)
        self._logprobs.extend(event.logprobs)
        if event.stats is not None and self._response is not None:
            self._response.stats = event.stats
            if self._response.ticket is not None:
                self._response.ticket.record(event.stats)
        if event.done and self._wants_logprobs and self._text and not self._logprobs:
            self._check_ignored_logprobs()

    def _check_ignored_logprobs(self) -> None:
        """Raise where the server's version was unknown, so that only the response could show that it is too old."""
        if self._response is not None and self._response.request.unverified:
            raise unsupported_feature(self._response.request_info, Feature.LOGPROBS)

    def _split(self, event: C, splitter: ThinkingSplitter) -> None:
        if event.thinking:
            # The server splits by itself, so what is left in the text is the answer.
            before, held = splitter.flush()
            event.thinking, event.text = before + event.thinking, held + event.text
            self._splitter = None
            return
        event.thinking, event.text = splitter.feed(event.text)
        if event.done:
            thinking, text = splitter.flush()
            event.thinking, event.text = event.thinking + thinking, event.text + text
        if event.done or splitter.in_answer:
            self._splitter = None

    def _flush(self) -> None:
        if self._splitter is not None:
            thinking, text = self._splitter.flush()
            self._thinking.append(thinking)
            self._text.append(text)
            self._splitter = None
        if self._response is not None and self._response.stats is None and (self._text or self._thinking):
            from ollama_mcp.formats.tokens import estimate_tokens

            tokens = estimate_tokens(self.text) + estimate_tokens(self.thinking)
            self._response.stats = Stats(prompt_eval_count=self.prompt_tokens, eval_count=tokens)


class GenerateStream(ChunkStream[GenerateChunk]):
    """Chunks of an answer of generate."""

    def _decode(self, line: bytes) -> tuple[str, str] | None:
        return _GENERATE_LINES.decode(line).pieces()

    async def collect(self) -> GenerateResponse:
        """Read to the end and return the whole answer, or what had come of a stream that was left early."""
        last = await self._read_to_end()
        return GenerateResponse(**self._combined_fields(last), context=last.context)


class ChatStream(ChunkStream[ChatChunk]):
    """Chunks of an answer of chat."""

    def _decode(self, line: bytes) -> tuple[str, str] | None:
        return _CHAT_LINES.decode(line).pieces()

    async def collect(self) -> ChatResponse:
        """Read to the end and return the whole answer, or what had come of a stream that was left early."""
        return ChatResponse(**self._combined_fields(await self._read_to_end()))


def split_at_lone_tag(text: str) -> tuple[str, str]:
    """Return (thinking, answer) of a whole text that has a closing tag without an opening one, else ("", text).

    Templates that put `<think>` at the end of the prompt leave only the closing tag to the model. Only where that is
    beyond doubt is the text before it taken for thinking: it is the only tag, ends its line, stands in no code, and the
    text before it does not speak of tags.
    """
    if text.count(_CLOSE) != 1 or _OPEN in text or (found := _LONE_CLOSE.search(text)) is None:
        return "", text
    before = text[: found.start()]
    if before.count("```") % 2 or _ABOUT_TAGS.search(before):
        return "", text
    return before.strip(), text[found.end() :]


class ThinkingSplitter:
    """Splits text that comes in pieces into thinking, between `<think>` tags, and answer; a tag may be cut anywhere.

    Servers before v0.9 leave the tags in the text for every model, newer ones for models whose template they do not
    know. Only a tag at the very start counts: later ones are the model's words about tags.
    """

    def __init__(self) -> None:
        self._state = "start"
        self._held = ""
        self._has_thinking = False

    @property
    def in_answer(self) -> bool:
        """Whether all further text is answer, so that pieces need not be fed any more."""
        return self._state == "answer"

    def feed(self, piece: str) -> tuple[str, str]:
        """Return (thinking, answer) of the piece as far as it is certain; not for pieces after `in_answer`."""
        text, self._held = self._held + piece, ""
        if self._state == "start":
            return self._read_start(text)
        if self._state == "thinking":
            return self._read_thinking(text)
        return "", self._skip_blank_lines(text)

    def flush(self) -> tuple[str, str]:
        """Return (thinking, answer) of what was held back, once the text has ended."""
        text, self._held = self._held, ""
        return (text, "") if self._state == "thinking" else ("", text)

    def _read_start(self, text: str) -> tuple[str, str]:
        begin = text.lstrip()
        if begin.startswith(_OPEN):
            self._state = "thinking"
            return self._read_thinking(begin[len(_OPEN) :])
        if _OPEN.startswith(begin):
            self._held = text
            return "", ""
        self._state = "answer"
        return "", text

    def _read_thinking(self, text: str) -> tuple[str, str]:
        if not self._has_thinking:
            # The tag is on a line of its own.
            text = text.lstrip("\n")
            self._has_thinking = bool(text)
        thinking, tag, answer = text.partition(_CLOSE)
        if tag:
            self._state = "gap"
            return thinking, self._skip_blank_lines(answer)
        # Hold back what may be the first part of the closing tag.
        keep = next((size for size in range(len(_CLOSE) - 1, 0, -1) if text.endswith(_CLOSE[:size])), 0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], ""

    def _skip_blank_lines(self, text: str) -> str:
        """Drop the blank lines between the closing tag and the answer."""
        answer = text.lstrip()
        if answer:
            self._state = "answer"
        return answer
