"""The result of chat and generate: the answer, its value checked against the format, and the notes for the agent."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import BadAnswer, InvalidArgument, NoAnswer, OllamaMCPError
from ollama_mcp.formats.json_text import parse_json
from ollama_mcp.formats.model_names import parse_name

if TYPE_CHECKING:
    from ollama_mcp.api import Chunk, Stats
    from ollama_mcp.work.chat.request import PreparedRequest


# How the note of an answer begins that used up its budget: work that asks many times tells it in its own words.
CUT_AT_BUDGET = "Cut at num_predict="
# A text that ends in one piece this often, within its last characters, is taken for a loop.
_REPEATS = 6
_TAIL_CHARS = 600


class _Missing:
    """The type of MISSING: null is a JSON value that an answer may have."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


@dataclass
class Answer:
    """A model's answer.

    Args:
        text: The model's words, untouched; of an answer with a value, the JSON that it stood in.
        model: The model that answered.
        notes: What the agent should know, a line each.
        value: The validated JSON value where a `format` was given.
        tool_calls: Calls that the model wants made, `{"name", "arguments", "id"?}` each.
        thinking, logprobs, context, stats: Only where `include` asks for them.
        sources: What was read from files, or the quotes from them, as objects.
        usage: Token counts and times for `_meta`.
    """

    text: str
    model: str
    notes: list[str] = field(default_factory=list[str])
    value: Any = MISSING
    tool_calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    thinking: str | None = None
    logprobs: list[dict[str, Any]] | None = None
    context: list[int] | None = None
    stats: dict[str, Any] | None = None
    sources: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    usage: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_structured(self) -> bool:
        """Whether it has more than text: then structuredContent holds the whole answer."""
        extras = (self.thinking, self.logprobs, self.context, self.stats)
        if self.value is not MISSING or self.tool_calls or any(extra is not None for extra in extras):
            return True
        return any("quote" in source for source in self.sources)


def finish(whole: Chunk, prepared: PreparedRequest) -> Answer:
    """The result of an answer that came to its end.

    Raises:
        NoAnswer: No word and no tool call came.
        BadAnswer: It does not fit the format.
    """
    if not whole.text.strip() and not whole.tool_calls:
        raise _empty_answer_error(whole, prepared)
    include = prepared.request.include
    stats = whole.stats
    value, text, value_notes = MISSING, whole.text, list[str]()
    if prepared.request.format is not None and text.strip():
        value, text, value_notes = _checked_value(whole, prepared.request.format, prepared)
    return Answer(
        text=text,
        model=whole.model or prepared.model,
        notes=[*prepared.notes, *_answer_notes(whole, prepared), *value_notes],
        value=value,
        tool_calls=[_tool_call(tool_call) for tool_call in whole.tool_calls],
        thinking=whole.thinking if "thinking" in include else None,
        logprobs=whole.logprobs if "logprobs" in prepared.fields else None,
        context=getattr(whole, "context", None) if "context" in include else None,
        stats=figures(stats) if "stats" in include and stats else None,
        usage=usage(stats),
    )


def usage(stats: Stats | None) -> dict[str, Any]:
    """Token counts and seconds of an answer."""
    if stats is None:
        return {}
    seconds = None if stats.total_duration is None else stats.total_duration / 1e9
    known = {"prompt_tokens": stats.prompt_eval_count, "tokens": stats.eval_count, "seconds": seconds}
    return {name: round(value, 3) for name, value in known.items() if value is not None}


def figures(stats: Stats) -> dict[str, Any]:
    """All that Ollama counted and measured of an answer."""
    more = {
        "cached_prompt_tokens": stats.prompt_eval_cached_count,
        "load_seconds": stats.load_seconds,
        "prompt_seconds": stats.prompt_eval_seconds,
        "tokens_per_second": stats.tokens_per_second,
    }
    return usage(stats) | {name: round(value, 3) for name, value in more.items() if value is not None}


def _checked_value(whole: Chunk, wanted: dict[str, Any] | str, prepared: PreparedRequest) -> tuple[Any, str, list[str]]:
    """The JSON value of an answer, checked against the format; the text that it stood in; and notes."""
    from ollama_mcp.work.chat.answer_value import FENCE_NOTE, fenced_json, with_exact_labels

    text, notes = whole.text, list[str]()
    try:
        value = parse_json(text, strict=True)
    except ValueError as error:
        if not (fenced := fenced_json(text)):
            raise _not_json(whole, prepared, error) from None
        value, text, notes = parse_json(fenced, strict=True), fenced, [FENCE_NOTE]
    if isinstance(wanted, dict):
        from ollama_mcp.formats.json_schema import find_mismatch

        why = find_mismatch(wanted, value)
        if why and (exact := with_exact_labels(wanted, value)) != value:
            value, why = exact, find_mismatch(wanted, exact)
            text = json.dumps(value, ensure_ascii=False)
        if why:
            raise _format_error(
                whole, prepared, why, "Name the fields in the prompt, simplify the schema or try a larger model."
            )
    return value, text, notes


def _not_json(whole: Chunk, prepared: PreparedRequest, error: ValueError) -> OllamaMCPError:
    if whole.done_reason == "length":
        why, next_step = _cut_json(whole, prepared)
        return _format_error(whole, prepared, f"{why} before the JSON ended", next_step)
    reason = f"it is not valid JSON ({error})"
    return _format_error(whole, prepared, reason, "Ask for JSON in the prompt too, or set think=false.")


def _cut_json(whole: Chunk, prepared: PreparedRequest) -> tuple[str, str]:
    """Why JSON was cut, and what gives it more room."""
    if repeats(whole.text):
        return "it repeated itself and was cut", "Simplify the schema, or try a larger model."
    stats = whole.stats
    used = (stats.prompt_eval_count or 0) + (stats.eval_count or 0) if stats is not None else 0
    if used >= prepared.fit.window and not _is_cut_at_budget(whole, prepared):
        return "the context ran full", "Send less, raise options.num_ctx, or ask for a shorter answer."
    return "it was cut", "Raise options.num_predict."


def _format_error(whole: Chunk, prepared: PreparedRequest, why: str, next_step: str) -> OllamaMCPError:
    return BadAnswer(
        f"The answer of {prepared.model} does not fit the format: {why}.",
        model=prepared.model,
        next_step=next_step,
        partial=whole.text,
    )


def _empty_answer_error(whole: Chunk, prepared: PreparedRequest) -> OllamaMCPError:
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
            f"{prepared.model} used up {spent} without writing anything.",
            next_step="Raise options.num_predict or options.num_ctx.",
        )
    return NoAnswer(
        f"{prepared.model} stopped at once without writing anything.",
        next_step="Rephrase the prompt, check the template and stop options, or try another model.",
    )


def _answer_notes(whole: Chunk, prepared: PreparedRequest) -> list[str]:
    notes: list[str] = []
    stats, fit = whole.stats, prepared.fit
    real = (stats.prompt_eval_count if stats is not None else None) or 0
    # A server that was told not to cut refuses instead: a low count then means that the estimate was too high.
    if prepared.fields.get("truncate") is not False and fit.was_truncated(real):
        notes.append(
            f"Ollama cut the prompt: it read {real:,} of about {fit.tokens:,} tokens. Send less, or raise "
            "options.num_ctx."
        )
    if whole.done_reason == "length":
        notes.append(_cut_note(whole, prepared))
    elif stats is not None and (stats.prompt_eval_count or 0) + (stats.eval_count or 0) > fit.window:
        notes.append(
            f"The context ({fit.window:,} tokens) ran full, so the model forgot its beginning while writing; raise "
            "options.num_ctx."
        )
    if whole.model and whole.model != prepared.model and not _is_same_model(whole.model, prepared.model):
        notes.append(f"Answered by {whole.model}, not {prepared.model}.")
    return notes


def _cut_note(whole: Chunk, prepared: PreparedRequest) -> str:
    if repeats(whole.text):
        return "It repeated itself until the limit; raise repeat_penalty or temperature, or try another model."
    if _is_cut_at_budget(whole, prepared):
        return f"{CUT_AT_BUDGET}{_budget(prepared)} tokens; raise options.num_predict for the rest."
    return "Cut: the context is full. Shorten the prompt or raise options.num_ctx."


def _budget(prepared: PreparedRequest) -> int:
    """The num_predict that was sent; -1 for none."""
    options: dict[str, Any] = prepared.fields.get("options") or {}
    return options.get("num_predict", -1)


def _is_cut_at_budget(whole: Chunk, prepared: PreparedRequest) -> bool:
    written = whole.stats.eval_count if whole.stats else None
    return _budget(prepared) > 0 and (written is None or written >= _budget(prepared))


def repeats(text: str) -> bool:
    """Whether a text ends in one piece repeated: small models loop at low temperatures."""
    tail = text[-_TAIL_CHARS:]
    return any(
        tail.endswith(tail[-size:] * _REPEATS) for size in range(1, len(tail) // _REPEATS + 1) if tail[-size:].strip()
    )


def _is_same_model(answered: str, asked: str) -> bool:
    """Cloud answers carry the base name, without the suffix that sent the call there."""
    if answered.strip().lower() == asked.strip().lower():
        return True
    try:
        one, other = parse_name(answered), parse_name(asked)
    except InvalidArgument:
        return False
    return one.key == other.key or (other.is_cloud and one.model.lower() == other.model.lower())


def _tool_call(tool_call: Any) -> dict[str, Any]:
    shown = {"name": tool_call.name, "arguments": tool_call.arguments}
    return shown | {"id": tool_call.id} if tool_call.id else shown
