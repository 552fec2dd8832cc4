"""What came back, judged: the value of a format, the notes that an agent should read, an answer without words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import BadAnswer, InvalidArgument, NoAnswer, OllamaMCPError
from ollama_mcp.formats.names import parse_name
from ollama_mcp.work import fitting
from ollama_mcp.work.answers import MISSING, Answer

if TYPE_CHECKING:
    from ollama_mcp.api import Chunk, Stats
    from ollama_mcp.work.inference import Prepared

_TAIL = 600
_REPEATS = 6


def finish(whole: Chunk, prepared: Prepared) -> Answer:
    """The result of an answer that came to its end.

    Raises:
        NoAnswer: No word and no tool call came.
        BadAnswer: It does not fit the format.
    """
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
        stats=figures(stats) if "stats" in include and stats else None,
        usage=usage(stats),
    )


def usage(stats: Stats | None) -> dict[str, Any]:
    """Token counts and seconds of an answer."""
    if stats is None:
        return {}
    known = {"prompt_tokens": stats.prompt_eval_count, "tokens": stats.eval_count, "seconds": stats.total_seconds}
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


def _value(whole: Chunk, prepared: Prepared) -> Any:
    """The JSON value of an answer with a format, checked; MISSING without one or where the model calls a tool."""
    wanted = prepared.wish.format
    if wanted is None or not whole.text.strip():
        return MISSING
    try:
        value = json.loads(whole.text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        if whole.done_reason == "length":
            raise _misfit(whole, prepared, "it was cut before the JSON ended", "Raise options.num_predict.") from None
        reason = f"it is no JSON ({error})" if isinstance(error, ValueError) else "it is nested too deeply"
        raise _misfit(whole, prepared, reason, "Ask for JSON in the prompt too, or set think=false.") from None
    if isinstance(wanted, dict):
        from ollama_mcp.formats.schema import mismatch

        if why := mismatch(wanted, value):
            raise _misfit(
                whole, prepared, why, "Name the fields in the prompt, simplify the schema or try a larger model."
            )
    return value


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


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
    stats, fit = whole.stats, prepared.fit
    # A server that was told not to cut refuses instead: a low count then means that the estimate was too high.
    if prepared.fields.get("truncate") is not False and fitting.was_cut(fit, stats):
        real = stats.prompt_eval_count if stats is not None else 0
        notes.append(
            f"Ollama cut the prompt: it read {real:,} of about {fit.tokens:,} tokens. Give less, or raise "
            "options.num_ctx."
        )
    if whole.done_reason == "length":
        notes.append(_why_cut(whole, prepared))
    elif stats is not None and (stats.prompt_eval_count or 0) + (stats.eval_count or 0) > fit.window:
        notes.append(
            f"The context ({fit.window:,} tokens) ran full, so the model forgot its beginning while writing; raise "
            "options.num_ctx."
        )
    if whole.model and not _same_origin(whole.model, prepared.model):
        notes.append(f"Answered by {whole.model}, not {prepared.model}.")
    return notes


def _why_cut(whole: Chunk, prepared: Prepared) -> str:
    options: dict[str, Any] = prepared.fields.get("options") or {}
    limit = options.get("num_predict", -1)
    written = whole.stats.eval_count if whole.stats else None
    if repeats(whole.text):
        return "It repeated itself until the limit; raise repeat_penalty or temperature, or try another model."
    if limit > 0 and (written is None or written >= limit):
        return f"Cut at num_predict={limit} tokens; raise options.num_predict for the rest."
    return "Cut: the context is full. Shorten the prompt or raise options.num_ctx."


def repeats(text: str) -> bool:
    """Whether a text ends in the same piece over and over."""
    tail = text[-_TAIL:]
    return any(
        tail.endswith(tail[-size:] * _REPEATS) for size in range(1, len(tail) // _REPEATS + 1) if tail[-size:].strip()
    )


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
