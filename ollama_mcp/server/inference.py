"""What chat and generate share: making a request ready, following the answer, saying what the agent should know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import BadAnswer, InvalidArgument, NoAnswer, OllamaMCPError, TooLong
from ollama_mcp.formats.names import parse_name
from ollama_mcp.server.results import MISSING, Answer
from ollama_mcp.server.types import Task, split_options

if TYPE_CHECKING:
    from ollama_mcp.api import ChatStream, Chunk, GenerateStream, Stats
    from ollama_mcp.server.call import Call

TAIL_CHARS = 800


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asked for, as far as chat and generate have it in common."""

    task: Task
    model: str
    format: dict[str, Any] | str | None
    think: bool | str | None
    options: dict[str, Any] | None
    include: Sequence[str]
    images: Sequence[str]
    audio: Sequence[str]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A wish made ready: the model, images and sounds as Ollama takes them (in one list), the shared fields."""

    wish: Wish
    model: str
    images: list[str] = field(default_factory=list[str])
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])

    @property
    def wants_logprobs(self) -> bool:
        """Whether the answer carries log-probabilities."""
        return bool(self.fields.get("logprobs"))


async def prepare(call: Call, wish: Wish, texts: Sequence[str]) -> Prepared:
    """Check what Ollama would not, and choose what the caller left open.

    Args:
        call: The call.
        wish: What was asked for.
        texts: Everything that counts against limits.prompt_bytes.

    Raises:
        OllamaMCPError: A limit, a missing capability or a wrong argument; nothing was sent to the model.
    """
    _check_size(call, texts)
    model = call.model(wish.model, wish.task, vision=bool(wish.images))
    plain, beside = split_options(call.settings, wish.options)
    notes: list[str] = []
    images = await call.images(wish.images, model, notes)
    images += await call.sounds(wish.audio, model, notes)
    top = beside.get("top_logprobs")
    fields = {
        "format": wish.format,
        "think": await _think(call, model, wish),
        "options": plain or None,
        "truncate": beside.get("truncate"),
        "shift": beside.get("shift"),
        "logprobs": True if "logprobs" in wish.include or top else None,
        "top_logprobs": top,
    }
    return Prepared(wish, model, images, {name: value for name, value in fields.items() if value is not None}, notes)


async def answer(call: Call, stream: ChatStream | GenerateStream, prepared: Prepared) -> Answer:
    """Follow the stream to its end and make the answer of it; leaving early closes the request to Ollama."""
    with call.in_use.using(prepared.model):
        whole = await _follow(call, stream, prepared.model)
    if not whole.text.strip() and not whole.tool_calls:
        raise _no_answer(whole, prepared)
    include = prepared.wish.include
    stats = whole.stats
    return Answer(
        text=whole.text,
        model=whole.model or prepared.model,
        notes=[*prepared.notes, *_notes(whole, prepared)],
        value=_value(whole, prepared),
        tool_calls=[_call(tool_call) for tool_call in whole.tool_calls],
        thinking=whole.thinking if "thinking" in include else None,
        logprobs=whole.logprobs if prepared.wants_logprobs else None,
        context=getattr(whole, "context", None) if "context" in include else None,
        stats=_figures(stats) if "stats" in include and stats else None,
        usage=_usage(stats),
    )


async def _follow(call: Call, stream: ChatStream | GenerateStream, model: str) -> Chunk:
    progress = call.progress
    tokens = 0

    def newest_words() -> str:
        return stream.text[-TAIL_CHARS:] or f"thinking: {stream.thinking[-TAIL_CHARS:]}"

    progress.text = lambda: stream.text
    async with progress.phase(f"queued for {model}"):
        # Ollama sends nothing before the first token, so whether it loads the model is asked beside the request.
        loading = call.tell_loading(model)
        try:
            async with stream as chunks:
                async for _ in chunks:
                    loading.cancel()
                    tokens += 1
                    await progress.update(tokens, newest_words)
        finally:
            loading.cancel()
    return await stream.collect()


async def _think(call: Call, model: str, wish: Wish) -> bool | str | None:
    """The think field: a level only where the model has it; off (or lowest) where a format shall hold."""
    if wish.think is None and wish.format is None:
        return None
    if wish.think is None and parse_name(model).is_cloud:
        return None
    if isinstance(wish.think, bool):
        return wish.think
    levels = await call.hosts.thinking(model)
    if wish.think is None:
        return levels.lowest
    if levels.values is not None and wish.think not in levels.values:
        known = ", ".join(str(value).lower() if isinstance(value, bool) else value for value in levels.values)
        raise InvalidArgument(f"think is {wish.think!r}, but {model} takes: {known}.")
    return wish.think


def _check_size(call: Call, texts: Sequence[str]) -> None:
    size = sum(len(text) if text.isascii() else len(text.encode(errors="replace")) for text in texts)
    limit = call.settings.limits.prompt_bytes
    if size > limit:
        raise TooLong(
            f"The prompt has {size:,} bytes, at most {limit:,} are taken.",
            next_step="Send less, or raise limits.prompt_bytes in the settings.",
        )


def _value(whole: Chunk, prepared: Prepared) -> Any:
    """The JSON value of an answer with a format, checked; MISSING without one or where the model calls a tool."""
    wanted = prepared.wish.format
    if wanted is None or not whole.text.strip():
        return MISSING
    try:
        value = json.loads(whole.text)
    except ValueError as error:
        if whole.done_reason == "length":
            raise _misfit(whole, prepared, "it was cut before the JSON ended", "Raise options.num_predict.") from None
        reason = f"it is no JSON ({error})"
        raise _misfit(whole, prepared, reason, "Ask for JSON in the prompt too, or set think=false.") from None
    if isinstance(wanted, dict):
        from ollama_mcp.formats.schema import mismatch

        if why := mismatch(wanted, value):
            raise _misfit(
                whole, prepared, why, "Name the fields in the prompt, simplify the schema or try a larger model."
            )
    return value


def _misfit(whole: Chunk, prepared: Prepared, why: str, next_step: str) -> OllamaMCPError:
    return BadAnswer(
        f"The answer of {prepared.model} does not fit the format: {why}.",
        model=prepared.model,
        next_step=next_step,
        partial=whole.text,
    )


def _no_answer(whole: Chunk, prepared: Prepared) -> OllamaMCPError:
    tokens = whole.stats.eval_count if whole.stats and whole.stats.eval_count else None
    spent = f"{tokens} tokens" if tokens else "its tokens"
    if whole.thinking:
        return NoAnswer(
            f"{prepared.model} spent {spent} on thinking and answered nothing.",
            next_step="Raise options.num_predict or set think=false. The thinking follows.",
            partial=whole.thinking,
        )
    if whole.done_reason == "length":
        return NoAnswer(
            f"{prepared.model} used up {spent} without a word.",
            next_step="Raise options.num_predict or options.num_ctx.",
        )
    return NoAnswer(
        f"{prepared.model} ended at once without a word.",
        next_step="Rephrase the prompt, check the template and stop options, or try another model.",
    )


def _notes(whole: Chunk, prepared: Prepared) -> list[str]:
    notes: list[str] = []
    if whole.done_reason == "length":
        options: dict[str, Any] = prepared.fields.get("options") or {}
        limit = options.get("num_predict", -1)
        written = whole.stats.eval_count if whole.stats else None
        if limit > 0 and (written is None or written >= limit):
            notes.append(f"Cut at num_predict={limit} tokens; raise options.num_predict for the rest.")
        else:
            notes.append("Cut: the context is full. Shorten the prompt or raise options.num_ctx.")
    if whole.model and not _same_origin(whole.model, prepared.model):
        notes.append(f"Answered by {whole.model}, not {prepared.model}.")
    return notes


def _same_origin(answered: str, asked: str) -> bool:
    """Cloud answers carry the base name, without the suffix that sent the call there."""
    if answered.strip().lower() == asked.strip().lower():
        return True
    try:
        one, other = parse_name(answered), parse_name(asked)
    except InvalidArgument:
        return False
    return one.key == other.key or (other.is_cloud and one.model.lower() == other.model.lower())


def _call(tool_call: Any) -> dict[str, Any]:
    shown = {"name": tool_call.name, "arguments": tool_call.arguments}
    return shown | {"id": tool_call.id} if tool_call.id else shown


def _usage(stats: Stats | None) -> dict[str, Any]:
    if stats is None:
        return {}
    figures = {"prompt_tokens": stats.prompt_eval_count, "tokens": stats.eval_count, "seconds": stats.total_seconds}
    return {name: round(value, 3) for name, value in figures.items() if value is not None}


def _figures(stats: Stats) -> dict[str, Any]:
    more = {
        "cached_prompt_tokens": stats.prompt_eval_cached_count,
        "load_seconds": stats.load_seconds,
        "prompt_seconds": stats.prompt_eval_seconds,
        "tokens_per_second": stats.tokens_per_second,
    }
    return _usage(stats) | {name: round(value, 3) for name, value in more.items() if value is not None}
