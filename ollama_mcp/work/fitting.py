"""Whether a prompt fits the context of its model, and the context to ask for.

Ollama drops what does not fit without a word, and loads a model anew for another num_ctx, for everybody who uses it.
So the tokens are estimated before anything is sent: while they fit what is loaded, num_ctx is left alone; else the
next power of two is asked for, and not less again while the model stays loaded. Where an estimate comes near the
limit, `truncate: false` makes a server that knows it (v0.12.6) refuse rather than cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import ContextOverflow, InvalidArgument, OllamaMCPError, TooLong
from ollama_mcp.formats.names import parse_name
from ollama_mcp.hosts.cards import default_options

if TYPE_CHECKING:
    from ollama_mcp.api import RunningModel, Stats
    from ollama_mcp.work.context import CallContext

# What Ollama loads a model with where nobody says (since v0.6.7; on large GPUs it takes more, which `ps` then shows).
UNLOADED_CONTEXT = 4_096
OLD_UNLOADED_CONTEXT = 2_048
ANSWER_TOKENS = 1_024
THINKING_TOKENS = 2_048
SHORTEST_ANSWER = 128
IMAGE_TOKENS = 1_000
# What the chat template adds, per prompt.
TEMPLATE_TOKENS = 32
# How far an estimate may be off, with the model's real counts known and without.
SURE, UNSURE = 1.1, 1.3
_CONTEXT_SINCE = (0, 6, 7)
_COUNTED = re.compile(r"\((\d+) tokens\)")


@dataclass(frozen=True, slots=True)
class Need:
    """What a request wants of the context.

    Args:
        tokens: Estimated tokens of the prompt, by `formats.tokens`.
        images: Images and sounds with it.
        answer: Tokens kept free for the answer.
        num_ctx: What the caller or the settings ask for; None leaves it open.
        way_out: What to do where it cannot fit, for the error.
    """

    tokens: int
    images: int
    answer: int
    num_ctx: int | None
    way_out: str


@dataclass(frozen=True, slots=True)
class Fit:
    """How a request fits.

    Args:
        raw: Tokens as estimated without what is known of the model.
        tokens: Tokens of the prompt as far as is known.
        window: The context it will run in, in tokens.
        num_ctx: The num_ctx to send, or None.
        is_close: Whether the prompt comes so near the limit that the server should refuse rather than cut.
        digest: The model's digest, or "" where it was not looked up.
        leaves_gpu_in_doubt: Whether the context grows while the model is wholly on the GPU.
        fixed: Whether the caller chose the context.
    """

    raw: int
    tokens: int
    window: int
    num_ctx: int | None = None
    is_close: bool = False
    digest: str = ""
    leaves_gpu_in_doubt: bool = False
    fixed: bool = False


async def fit(call: CallContext, model: str, need: Need) -> Fit:
    """Find the context for a request.

    Raises:
        TooLong: Even the largest context that may be asked for is too small; figures and ways out.
    """
    if parse_name(model).is_cloud:
        # Its context is the cloud's affair, and nothing is loaded here.
        return Fit(need.tokens, need.tokens, (await _trained(call, model)) or UNLOADED_CONTEXT, fixed=True)
    running = await call.hosts.contexts.loaded(model)
    sent = call.hosts.contexts.sent(model)
    if need.num_ctx is None and running is not None and (known := running.context_length or sent):
        ratio = await call.store.models.token_ratio(running.digest) if running.digest else None
        room = _room(need, ratio)
        if room <= known:
            tokens = round(need.tokens * (ratio or 1.0))
            return Fit(need.tokens, tokens, known, _kept(running, sent), room > known // 2, running.digest)
    elif need.num_ctx is None and _room(need, None) <= OLD_UNLOADED_CONTEXT:
        return Fit(need.tokens, need.tokens, UNLOADED_CONTEXT)
    return await _grown(call, model, need, running, sent)


async def learn(call: CallContext, fit: Fit, stats: Stats | None, *, images: int) -> None:
    """Keep what the real count says about the estimate; a prompt with images says nothing about its text."""
    if fit.digest and stats is not None and stats.prompt_eval_count and not images:
        await call.store.models.learn(fit.digest, fit.raw, stats.prompt_eval_count)


async def refused(call: CallContext, model: str, fit: Fit, error: ContextOverflow, *, images: int, way_out: str) -> Fit:
    """A larger fit after the server refused the length of a prompt, which is kept as a lesson for the estimate.

    Raises:
        TooLong: No larger context may be asked for, or it could not hold the prompt either.
    """
    counted = _COUNTED.search(error.detail)
    tokens = int(counted[1]) if counted else fit.window + 1
    digest = fit.digest or await _digest(call, model)
    if digest and not images:
        await call.store.models.learn(digest, fit.raw, tokens)
    limit = await largest(call, model)
    if fit.fixed or fit.window >= limit or tokens + SHORTEST_ANSWER > limit:
        known = f"{tokens:,}" if counted else f"more than {fit.window:,}"
        raise TooLong(
            f"The prompt has {known} tokens by {model}'s own count, which takes {max(fit.window, limit):,} here.",
            next_step=way_out,
        ) from error
    num_ctx = min(limit, _power_of_two(max(2 * fit.window, round(tokens * SURE) + ANSWER_TOKENS)))
    return replace(fit, tokens=max(tokens, fit.tokens), window=num_ctx, num_ctx=num_ctx, digest=digest)


async def known_ratio(call: CallContext, model: str) -> float | None:
    """How many of the model's tokens one estimated token is, where that was learnt."""
    digest = await _digest(call, model)
    return await call.store.models.token_ratio(digest) if digest else None


def was_cut(fit: Fit, stats: Stats | None) -> bool:
    """Whether the real count shows that the server left a part of the prompt out."""
    real = (stats.prompt_eval_count if stats is not None else None) or 0
    return 0 < real < 0.6 * fit.tokens and fit.tokens > 0.9 * fit.window


async def largest(call: CallContext, model: str) -> int:
    """The largest context, in tokens, that may be asked for where a call names none."""
    trained = await _trained(call, model)
    limit = call.settings.limits.num_ctx
    return min(limit, trained) if trained else limit


def too_long(model: str, tokens: int, most: int, why: str, way_out: str) -> TooLong:
    """The error for a prompt that cannot fit."""
    return TooLong(
        f"The prompt has about {tokens:,} tokens, but {model} takes {most:,} here with its answer ({why}).",
        next_step=way_out,
    )


async def _grown(call: CallContext, model: str, need: Need, running: RunningModel | None, sent: int | None) -> Fit:
    """Where the quick estimate does not settle it: look closer, then ask for more."""
    digest = running.digest if running is not None else await _digest(call, model)
    ratio = await call.store.models.token_ratio(digest) if digest else None
    tokens = round(need.tokens * (ratio or 1.0)) + need.images * IMAGE_TOKENS
    trained = await _trained(call, model)
    # Servers before v0.10.0 do not show the context of a loaded model.
    known = (running.context_length or sent) if running is not None else None
    window = known or await _default_window(call, model, trained)
    wanted = _room(need, ratio)
    least = round(tokens / _margin(ratio)) + SHORTEST_ANSWER
    if need.num_ctx is not None:
        most = min(need.num_ctx, trained or need.num_ctx)
        if least > most:
            if most < need.num_ctx:
                raise too_long(model, tokens, most, "the model's own length", need.way_out)
            way_out = f"Raise options.num_ctx, or leave it out and it is chosen. {need.way_out}"
            raise too_long(model, tokens, most, "options.num_ctx", way_out)
        return Fit(need.tokens, tokens, most, None, wanted > most // 2, digest, fixed=True)
    limit = call.settings.limits.num_ctx
    most = max(window, min(limit, trained or limit))
    if least > most:
        why = "setting limits.num_ctx" if most == limit else "the model's own length"
        raise too_long(model, tokens, most, why, need.way_out)
    close = wanted > min(most, _power_of_two(wanted)) // 2
    if wanted <= window or window >= most:
        keep = _kept(running, sent) if running is not None else None
        return Fit(need.tokens, tokens, window, keep, close, digest)
    asked = min(most, _power_of_two(wanted))
    on_gpu = running is not None and 0 < running.size <= running.size_vram
    return Fit(need.tokens, tokens, asked, asked, close, digest, on_gpu)


def _room(need: Need, ratio: float | None) -> int:
    """The context that is safely enough for a prompt and its answer."""
    prompt = need.tokens * (ratio or 1.0) * _margin(ratio) + need.images * IMAGE_TOKENS
    return round(prompt) + TEMPLATE_TOKENS + need.answer


def _margin(ratio: float | None) -> float:
    return UNSURE if ratio is None else SURE


def _kept(running: RunningModel, sent: int | None) -> int | None:
    """The num_ctx that keeps a loaded model as it is; None where that is what it gets by itself.

    A power of two above the default was asked for by somebody, or is the default of this host: sending it changes
    nothing in either case, while leaving it out would load the model anew, smaller.
    """
    loaded = running.context_length
    if sent is not None and (loaded is None or loaded <= sent):
        return sent
    if loaded is not None and loaded > UNLOADED_CONTEXT and loaded & (loaded - 1) == 0:
        return loaded
    return None


async def _default_window(call: CallContext, model: str, trained: int | None) -> int:
    """The context that a model gets which is not loaded."""
    built_in: Any = default_options(await call.hosts.card(model)).get("num_ctx")
    version = await call.client.server()
    usual = OLD_UNLOADED_CONTEXT if version.known and version.numbers < _CONTEXT_SINCE else UNLOADED_CONTEXT
    window = built_in if isinstance(built_in, int) else usual
    return min(window, trained) if trained else window


async def _trained(call: CallContext, model: str) -> int | None:
    try:
        return (await call.hosts.card(model)).context_length
    except (InvalidArgument, OllamaMCPError):
        # The call itself will say what is wrong with the model or the host.
        return None


async def _digest(call: CallContext, model: str) -> str:
    try:
        found = await call.hosts.find(model)
    except OllamaMCPError:
        return ""
    return found.digest if found is not None else ""


def _power_of_two(tokens: int) -> int:
    return 1 << max(0, tokens - 1).bit_length()
