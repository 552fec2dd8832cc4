"""The events of streams, light dataclasses built from a line of JSON, and the whole responses that they add up to.

Durations are nanoseconds as Ollama sends them; `..._seconds` gives seconds. Fields that a server left out are None or
empty, so that 0 and absent can be told apart where that matters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self, cast

from ollama_mcp.formats.json_text import as_count

Json = dict[str, Any]
# Far beyond any: those of tokens that a model all but excludes are in the hundreds.
_MAX_LOGPROB = 1e9


@dataclass(slots=True)
class ToolCall:
    """A tool call that the model requests."""

    name: str
    arguments: Json
    id: str | None = None
    index: int | None = None

    @classmethod
    def from_json(cls, data: Any) -> ToolCall:
        """Parse an item of `tool_calls`; raises ValueError where it has another shape."""
        function = _object(_object(data, "tool_calls[]").get("function"), "tool_calls[].function")
        arguments = _object(function.get("arguments") or {}, "tool_calls[].function.arguments")
        call_id = _text_or_none(data.get("id")) or _text_or_none(function.get("id"))
        return cls(_text(function, "name"), arguments, call_id, as_count(function.get("index")))

    def to_json(self) -> Json:
        """The form used in messages."""
        function: Json = {"name": self.name, "arguments": self.arguments}
        if self.index is not None:
            function["index"] = self.index
        return {"id": self.id, "function": function} if self.id else {"function": function}


@dataclass(slots=True)
class Stats:
    """Counters and durations of a finished answer, in tokens and nanoseconds."""

    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_cached_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None

    @classmethod
    def from_json(cls, data: Json) -> Stats:
        """Parse the counters of a final line; values that cannot be counts are left out."""
        return cls(**{name: as_count(data.get(name)) for name in cls.__slots__})

    @property
    def total_seconds(self) -> float | None:
        """Queue, load, prompt and answer together."""
        return _seconds(self.total_duration)

    @property
    def load_seconds(self) -> float | None:
        """From the request until the model was ready."""
        return _seconds(self.load_duration)

    @property
    def prompt_eval_seconds(self) -> float | None:
        """Reading the part of the prompt that was not cached."""
        return _seconds(self.prompt_eval_duration)

    @property
    def eval_seconds(self) -> float | None:
        """Writing the answer."""
        return _seconds(self.eval_duration)

    @property
    def tokens_per_second(self) -> float | None:
        """Speed of writing; None where a value is missing."""
        return self.eval_count / (self.eval_duration / 1e9) if self.eval_count and self.eval_duration else None


_SIGNS_OF_OLLAMA = frozenset(("model", "created_at", "done_reason", "total_duration"))


@dataclass(slots=True)
class Chunk:
    """A piece of an answer. `text` and `thinking` are what is new; the rest mostly comes with the last chunk."""

    text: str = ""
    thinking: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list[ToolCall])
    logprobs: list[Json] = field(default_factory=list[Json])
    done: bool = False
    done_reason: str | None = None
    stats: Stats | None = None
    model: str = ""
    remote_model: str | None = None
    remote_host: str | None = None

    @classmethod
    def from_fields(cls, data: Json, answer: Json, text_field: str) -> Self:
        """Parse a line of generate or chat; raises ValueError for a field of the wrong type.

        Args:
            data: The line.
            answer: The object that holds what the model writes: chat nests it, generate does not.
            text_field: The field of its text.
        """
        text, thinking = answer.get(text_field), answer.get("thinking")
        for name, value in ((text_field, text), ("thinking", thinking)):
            if value is not None and not isinstance(value, str):
                raise ValueError(f"{name!r} is not a string")
        chunk = cls(text or "", thinking or "", model=_text_or_none(data.get("model")) or "")
        if calls := answer.get("tool_calls"):
            chunk.tool_calls = _tool_calls(calls)
        if logprobs := data.get("logprobs"):
            chunk.logprobs = _logprobs(logprobs)
        # Each line of Ollama's has one of them. A last line without was put together by a router whose own stream had
        # ended too early.
        if data.get("done") is True and not data.keys().isdisjoint(_SIGNS_OF_OLLAMA):
            chunk.done = True
            chunk.done_reason = _text_or_none(data.get("done_reason"))
            chunk.stats = Stats.from_json(data)
            chunk.remote_model = _text_or_none(data.get("remote_model"))
            chunk.remote_host = _text_or_none(data.get("remote_host"))
        return chunk


@dataclass(slots=True)
class GenerateChunk(Chunk):
    """A chunk of POST /api/generate; `context` comes with the last one."""

    context: list[int] | None = None

    @classmethod
    def from_json(cls, data: Json) -> GenerateChunk:
        """Parse a line; raises ValueError where generate sends no such line."""
        if "response" not in data and "done" not in data:
            raise ValueError("neither 'response' nor 'done'")
        chunk = cls.from_fields(data, data, "response")
        chunk.context = _tokens(data.get("context"))
        return chunk


@dataclass(slots=True)
class ChatChunk(Chunk):
    """A chunk of POST /api/chat."""

    @classmethod
    def from_json(cls, data: Json) -> ChatChunk:
        """Parse a line; raises ValueError where chat sends no such line."""
        if "message" not in data and "done" not in data:
            raise ValueError("neither 'message' nor 'done'")
        message: Any = data.get("message") or {}
        if not isinstance(message, dict):
            raise ValueError("'message' is not an object")
        return cls.from_fields(data, cast("Json", message), "content")


@dataclass(slots=True)
class ProgressEvent:
    """A line of create, pull or push; `total` and `completed` are bytes, None for steps without a size."""

    status: str
    digest: str | None = None
    total: int | None = None
    completed: int | None = None

    @classmethod
    def from_json(cls, data: Json) -> ProgressEvent:
        """Parse a line; raises ValueError without a status."""
        if "status" not in data:
            raise ValueError("no 'status'")
        total = as_count(data.get("total"))
        # Ollama omits zeros, so a layer of known size without `completed` has just begun.
        completed = as_count(data.get("completed", None if total is None else 0))
        return cls(_text(data, "status"), _text_or_none(data.get("digest")), total, completed)

    @property
    def done(self) -> bool:
        """Whether this is the last line, which reports success."""
        return self.status == "success"


@dataclass(slots=True)
class GenerateResponse(GenerateChunk):
    """A whole answer of POST /api/generate: all chunks combined."""


@dataclass(slots=True)
class ChatResponse(ChatChunk):
    """A whole answer of POST /api/chat: all chunks combined."""


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9


def _text(data: Json, name: str) -> str:
    value = data.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    raise ValueError(f"{name!r} is not a string")


def _text_or_none(value: Any) -> str | None:
    """A text that says more than nothing; None for anything else, where nothing depends on it."""
    return value if isinstance(value, str) and value else None


def _tokens(value: Any) -> list[int] | None:
    tokens = cast("list[Any]", value) if isinstance(value, list) else []
    return tokens if tokens and all(as_count(token) is not None for token in tokens) else None


def _object(value: Any, name: str) -> Json:
    if not isinstance(value, dict):
        raise ValueError(f"{name!r} is not an object")
    return cast("Json", value)


def _objects(value: Any, name: str) -> list[Json]:
    if not isinstance(value, list):
        raise ValueError(f"{name!r} is not a list")
    return [_object(item, f"{name}[]") for item in cast("list[Any]", value)]


def _logprobs(value: Any) -> list[Json]:
    """The positions; a log-probability that is not a finite number is None."""
    positions = _objects(value, "logprobs")
    for position in positions:
        for entry in (position, *_objects(position.get("top_logprobs") or [], "top_logprobs")):
            logprob = entry.get("logprob")
            if not isinstance(logprob, int | float) or not -_MAX_LOGPROB < logprob < _MAX_LOGPROB:
                entry["logprob"] = None
    return positions


def _tool_calls(value: Any) -> list[ToolCall]:
    return [ToolCall.from_json(item) for item in _objects(value, "tool_calls")]
