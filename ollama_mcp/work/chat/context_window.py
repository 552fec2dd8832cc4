"""Fits a prompt into the model's context window: estimates its tokens and chooses the num_ctx to send.

Ollama silently drops what does not fit, and reloads a model for another num_ctx, for everybody who uses it. So the
tokens are estimated before anything is sent: while they fit the loaded context, num_ctx is left alone; else the next
power of two is requested, and not less again while the model stays loaded. Where an estimate comes near the limit,
`truncate: false` makes a server that knows it (v0.12.6) refuse rather than cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import ContextOverflow, InvalidArgument, OllamaMCPError, TooLong
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.hosts.model_cards import default_options
from ollama_mcp.hosts.ttl_cache import TTL_SECONDS
from ollama_mcp.store.models import MAX_RATIO

if TYPE_CHECKING:
    from ollama_mcp.api import RunningModel
    from ollama_mcp.work.call_context import CallContext

# The context that Ollama loads a model with where nobody says (since v0.6.7; on large GPUs more, which `ps` shows).
DEFAULT_CONTEXT = 4_096
OLD_DEFAULT_CONTEXT = 2_048
# Room kept free for an answer whose length nobody limits, and for the thinking before it.
ANSWER_TOKENS = 1_024
THINKING_TOKENS = 2_048
MIN_ANSWER_TOKENS = 128
IMAGE_TOKENS = 1_000
# What the chat template adds, per prompt.
TEMPLATE_TOKENS = 32
# How far an estimate may be off, with the model's real counts known and without.
KNOWN_RATIO_MARGIN, UNKNOWN_RATIO_MARGIN = 1.1, 1.3
# Up to which age what a host said of a loaded model serves for a prompt that fits in any case: only its num_ctx is
# taken from there, which others seldom change, and a slow `ps` then delays no answer.
SHORT_PROMPT_SECONDS = 10.0
_CONTEXT_SINCE = (0, 6, 7)
_RAISE_OR_CHOOSE = "Raise options.num_ctx, or leave it out and it is chosen."
_CONTENT_TOO_LARGE = 413
_COUNTED = re.compile(r"\((\d+) tokens\)")


@dataclass(frozen=True, slots=True)
class ContextNeed:
    """What a request wants of the context.

    Args:
        tokens: Estimated tokens of the prompt, by `formats.tokens`.
        images: Images and sounds with it.
        answer: Tokens kept free for the answer.
        num_ctx: What the caller or the settings ask for; None leaves it open.
        remedy: What the caller can do where it cannot fit, for the error.
        may_truncate: Whether the caller lets Ollama leave out what does not fit.
    """

    tokens: int
    images: int
    answer: int
    num_ctx: int | None
    remedy: str
    may_truncate: bool = False


@dataclass(frozen=True, slots=True)
class ContextFit:
    """How a request fits.

    Args:
        estimated_tokens: Tokens of the prompt by the estimate alone.
        tokens: Tokens of the prompt by the estimate and what is known of the model's tokenizer.
        window: The context it will run in, in tokens.
        num_ctx: The num_ctx to send, or None.
        is_close: Whether the prompt comes so near the limit that the server should refuse rather than cut.
        digest: The model's digest, or "" where it was not looked up.
        may_leave_gpu: Whether the context grows while the model is wholly on the GPU.
        is_fixed: Whether the caller chose the context.
        grows_for_answer: Whether a loaded model is loaded anew only because of the room that the answer may take.
    """

    estimated_tokens: int
    tokens: int
    window: int
    num_ctx: int | None = None
    is_close: bool = False
    digest: str = ""
    may_leave_gpu: bool = False
    is_fixed: bool = False
    grows_for_answer: bool = False

    def was_truncated(self, real_tokens: int) -> bool:
        """Whether the real count of the prompt's tokens shows that the server left a part of it out."""
        return 0 < real_tokens < 0.6 * self.tokens and self.tokens > 0.9 * self.window


async def fit_context(call: CallContext, model: str, need: ContextNeed) -> ContextFit:
    """Find the context for a request.

    Raises:
        TooLong: Even the largest context that may be asked for is too small; figures and ways out.
    """
    if parse_name(model).is_cloud:
        # The cloud manages its context, and nothing is loaded here.
        return ContextFit(
            need.tokens, need.tokens, (await _trained_context(call, model)) or DEFAULT_CONTEXT, is_fixed=True
        )
    # Whatever the model's tokenizer makes of it.
    most = _needed_window(need, MAX_RATIO)
    is_short = need.num_ctx is None and most <= DEFAULT_CONTEXT // 2
    usable_seconds = SHORT_PROMPT_SECONDS if is_short else TTL_SECONDS
    running = await call.hosts.loaded_models.find(model, usable_seconds=usable_seconds)
    sent = call.hosts.loaded_models.requested_num_ctx(model)
    if need.num_ctx is None and running is not None and (known := running.context_length or sent):
        if most <= known // 2:
            return ContextFit(need.tokens, need.tokens, known, _num_ctx_to_keep(running, sent), digest=running.digest)
        ratio = await call.store.models.token_ratio(running.digest) if running.digest else None
        room = _needed_window(need, ratio)
        if room <= known:
            tokens = round(need.tokens * (ratio or 1.0))
            return ContextFit(
                need.tokens, tokens, known, _num_ctx_to_keep(running, sent), room > known // 2, running.digest
            )
    elif need.num_ctx is None and _needed_window(need, None) <= OLD_DEFAULT_CONTEXT:
        return ContextFit(need.tokens, need.tokens, DEFAULT_CONTEXT)
    return await _fit_larger(call, model, need, running, sent)


async def grown_after_refusal(
    call: CallContext, model: str, fit: ContextFit, error: ContextOverflow, *, images: int, remedy: str
) -> ContextFit:
    """A larger fit after the server refused the length of a prompt; its count improves later estimates.

    Raises:
        TooLong: No larger context may be asked for, or it could not hold the prompt either.
        ContextOverflow: The refusal was about bytes, which tells nothing of tokens.
    """
    if error.status == _CONTENT_TOO_LARGE:
        raise error
    counted = _COUNTED.search(error.detail)
    tokens = int(counted[1]) if counted else fit.window + 1
    digest = fit.digest or await _digest(call, model)
    if digest and not images:
        await call.store.models.record_token_estimate(digest, fit.estimated_tokens, tokens)
    limit = await largest_context(call, model)
    if fit.is_fixed or fit.window >= limit or tokens + MIN_ANSWER_TOKENS > limit:
        known = f"{tokens:,}" if counted else f"more than {fit.window:,}"
        most = fit.window if fit.is_fixed else max(fit.window, limit)
        if fit.is_fixed and fit.window < limit and tokens + MIN_ANSWER_TOKENS <= limit:
            remedy = f"{_RAISE_OR_CHOOSE} {remedy}"
        raise TooLong(
            f"The prompt has {known} tokens by {model}'s own count, which takes {most:,} here.", next_step=remedy
        ) from error
    num_ctx = min(limit, _power_of_two(max(2 * fit.window, round(tokens * KNOWN_RATIO_MARGIN) + ANSWER_TOKENS)))
    return replace(fit, tokens=max(tokens, fit.tokens), window=num_ctx, num_ctx=num_ctx, digest=digest)


async def token_ratio(call: CallContext, model: str) -> float | None:
    """How many of the model's tokens one estimated token is, where that was learnt."""
    digest = await _digest(call, model)
    return await call.store.models.token_ratio(digest) if digest else None


async def largest_context(call: CallContext, model: str) -> int:
    """The largest context, in tokens, that may be asked for where a call names none."""
    trained = await _trained_context(call, model)
    limit = _largest_chosen(call)
    return min(limit, trained) if trained else limit


def _largest_chosen(call: CallContext) -> int:
    """The largest context that is chosen where a call names none."""
    limit, most = call.settings.limits.num_ctx, call.settings.policy.num_ctx
    return min(limit, most) if most else limit


def too_long(model: str, tokens: int, most: int, why: str, remedy: str) -> TooLong:
    """The error for a prompt that cannot fit."""
    return TooLong(
        f"The prompt has about {tokens:,} tokens, but {model} takes {most:,} here with its answer ({why}).",
        next_step=remedy,
    )


def reload_note(fit: ContextFit, model: str, answer: int) -> str:
    """What a caller should know whose num_predict makes Ollama load the model anew; "" where it does not."""
    if not fit.grows_for_answer:
        return ""
    return (
        f"num_predict {answer:,} needs num_ctx {fit.window:,}, so Ollama loads {model} anew, for everybody; a smaller "
        "num_predict would not."
    )


async def _fit_larger(
    call: CallContext, model: str, need: ContextNeed, running: RunningModel | None, sent: int | None
) -> ContextFit:
    """Where the quick estimate does not settle it: look closer, then ask for more."""
    digest = running.digest if running is not None else await _digest(call, model)
    ratio = await call.store.models.token_ratio(digest) if digest else None
    tokens = round(need.tokens * (ratio or 1.0)) + need.images * IMAGE_TOKENS
    trained = await _trained_context(call, model)
    # Servers before v0.10.0 do not show the context of a loaded model.
    known = (running.context_length or sent) if running is not None else None
    window = known or await _unloaded_window(call, model, trained)
    wanted = _needed_window(need, ratio)
    margin = UNKNOWN_RATIO_MARGIN if ratio is None else KNOWN_RATIO_MARGIN
    least = round(tokens / margin) + MIN_ANSWER_TOKENS
    if need.num_ctx is not None:
        most = min(need.num_ctx, trained or need.num_ctx)
        if least > most and not need.may_truncate:
            if trained and least > trained:
                raise too_long(model, tokens, trained, "the model's own length", need.remedy)
            # A num_ctx that is chosen here stays within the limit of the settings; one that the caller sets need not.
            advice = _RAISE_OR_CHOOSE if least <= call.settings.limits.num_ctx else "Raise options.num_ctx."
            raise too_long(model, tokens, most, "options.num_ctx", f"{advice} {need.remedy}")
        return ContextFit(need.tokens, tokens, most, None, wanted > most // 2, digest, is_fixed=True)
    limit = _largest_chosen(call)
    most = max(window, min(limit, trained or limit))
    if least > most and not need.may_truncate:
        why = "setting limits.num_ctx" if most == limit else "the model's own length"
        raise too_long(model, tokens, most, why, need.remedy)
    close = wanted > min(most, _power_of_two(wanted)) // 2
    if wanted <= window or window >= most:
        keep = _num_ctx_to_keep(running, sent) if running is not None else None
        return ContextFit(need.tokens, tokens, window, keep, close, digest)
    asked = min(most, _power_of_two(wanted))
    on_gpu = running is not None and 0 < running.size <= running.size_vram
    usual = replace(need, answer=min(need.answer, ANSWER_TOKENS))
    for_answer = running is not None and _needed_window(usual, ratio) <= window
    return ContextFit(need.tokens, tokens, asked, asked, close, digest, on_gpu, grows_for_answer=for_answer)


def _needed_window(need: ContextNeed, ratio: float | None) -> int:
    """The context that is safely enough for a prompt and its answer."""
    safe_ratio = UNKNOWN_RATIO_MARGIN if ratio is None else ratio * KNOWN_RATIO_MARGIN
    return round(need.tokens * safe_ratio + need.images * IMAGE_TOKENS) + TEMPLATE_TOKENS + need.answer


def _num_ctx_to_keep(running: RunningModel, sent: int | None) -> int | None:
    """The num_ctx that keeps a loaded model as it is; None where it keeps that without one.

    A power of two above the default was asked for by somebody, or is the default of this host: sending it changes
    nothing in either case, while leaving it out would load the model anew, smaller.
    """
    loaded = running.context_length
    if sent is not None and (loaded is None or loaded <= sent):
        return sent
    if loaded is not None and loaded > DEFAULT_CONTEXT and loaded & (loaded - 1) == 0:
        return loaded
    return None


async def _unloaded_window(call: CallContext, model: str, trained: int | None) -> int:
    """The context that a model gets which is not loaded."""
    built_in: Any = default_options(await call.hosts.card(model)).get("num_ctx")
    version = await call.client.server_version()
    usual = OLD_DEFAULT_CONTEXT if version.known and version.numbers < _CONTEXT_SINCE else DEFAULT_CONTEXT
    window = built_in if isinstance(built_in, int) else usual
    return min(window, trained) if trained else window


async def _trained_context(call: CallContext, model: str) -> int | None:
    try:
        return (await call.hosts.card(model)).context_length
    except (InvalidArgument, OllamaMCPError):
        # The call itself will say what is wrong with the model or the host.
        return None


async def _digest(call: CallContext, model: str) -> str:
    try:
        found = await call.hosts.find_model(model)
    except OllamaMCPError:
        return ""
    return found.digest if found is not None else ""


def _power_of_two(tokens: int) -> int:
    return 1 << max(0, tokens - 1).bit_length()
