"""Sends a prepared request, follows the answer to its end, and records what the answer's counts tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from ollama_mcp.errors import ContextOverflow, NotInTime, Timeout
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.store.models import MIN_ESTIMATE
from ollama_mcp.work.chat.context_window import grown_after_refusal
from ollama_mcp.work.chat.request import Conversation, PreparedRequest, prepare
from ollama_mcp.work.chat.result import finish

if TYPE_CHECKING:
    from ollama_mcp.api import ChatMessage, ChatRequest, ChatStream, Chunk, GenerateRequest, GenerateStream
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.chat.result import Answer

# An answer that somebody watches comes as one object where it takes less than this by the model's learnt pace.
SHORT_ANSWER_SECONDS = 5.0
# One without a limit does where each answer before it took less than this. One that takes over twice as long all the
# same is closed and asked for again in a stream, so that this is all that can be lost of a long one's text.
QUICK_ANSWER_SECONDS = 1.0
# Where nobody watches, by how much the limit of an answer must exceed what it takes; and, where no pace was learnt yet,
# the seconds per token of a slow processor.
_MARGIN, _SLOW = 4.0, 1.0
# What a progress message shows of the text written so far; hosts show under 200 characters of it.
TAIL_CHARS = 800


async def send(call: CallContext, conversation: Conversation, *, quiet: bool = False) -> Answer:
    """Prepare and send a conversation; `quiet` as of `run`.

    Raises:
        OllamaMCPError: What was wrong with the request, the host or the answer.
    """
    from ollama_mcp.api import ChatRequest

    prepared = await prepare(call, conversation, [message.content for message in conversation.messages])
    messages = conversation.messages
    if prepared.images:
        messages = _with_images(conversation, prepared.images)
    request = ChatRequest(
        model=prepared.model,
        messages=messages,
        tools=conversation.tools or None,
        keep_alive=call.keep_alive(conversation.keep_alive),
        **prepared.fields,
    )
    return await run(call, request, prepared, quiet=quiet)


async def run(
    call: CallContext,
    request: ChatRequest | GenerateRequest,
    prepared: PreparedRequest,
    *,
    quiet: bool = False,
    on_first_chunk: Callable[[], None] | None = None,
) -> Answer:
    """Send the request, follow the answer to its end and return the result.

    Leaving early closes the request to Ollama. A short answer, one of a model that was quick so far, and a limited one
    that nobody watches, comes as one object instead of a line for each token, which costs a fraction of the time here.
    A prompt that the server finds too long for the context that was expected is sent again with a larger one, where a
    larger one is allowed.

    Args:
        call: The context of the call.
        request: The request, made of what was prepared.
        prepared: What was prepared.
        quiet: Whether to report no progress, since the progress tells of more than this answer.
        on_first_chunk: Called when the first chunk of an answer that is streamed has come.

    Raises:
        OllamaMCPError: What was wrong with the host or the answer.
    """
    from ollama_mcp.api import ChatRequest

    hosts, model = call.hosts, prepared.model
    while True:
        request.stream, request.within = _is_streamed(call, request, is_watched=not quiet), None
        if request.stream and not quiet and _is_quick(call, request):
            request.stream, request.within = False, 2 * QUICK_ANSWER_SECONDS
        began = monotonic()
        num_ctx = request.options.get("num_ctx") if request.options else None
        if num_ctx is not None:
            hosts.loaded_models.record_num_ctx(model, num_ctx)
        client = hosts.client()
        stream = client.chat(request) if isinstance(request, ChatRequest) else client.generate(request)
        stream.prompt_tokens = prepared.fit.tokens
        try:
            with call.in_use.track(model) as earlier:
                if on_first_chunk is not None and request.stream:
                    # The stream keeps this chunk too: `collect` returns the whole answer.
                    await anext(stream, None)
                    on_first_chunk()
                whole = await (
                    stream.collect() if quiet else _follow(call, stream, model, earlier, streamed=request.stream)
                )
        except ContextOverflow as error:
            images, remedy = len(prepared.images), prepared.request.remedy
            fit = await grown_after_refusal(call, model, prepared.fit, error, images=images, remedy=remedy)
            prepared = replace(prepared, fit=fit)
            request = request.model_copy(update={"options": {**(request.options or {}), "num_ctx": fit.num_ctx}})
        except NotInTime:
            hosts.loaded_models.record_duration(model, monotonic() - began)
        except BaseException as error:
            if isinstance(error, Timeout) and not request.stream and not request.within and request.options:
                # The next answers are streamed, so that they may take longer.
                limit = request.options["num_predict"]
                hosts.loaded_models.record_pace(model, call.settings.timeouts.idle / limit)
            _record_cut(call, stream, prepared, monotonic() - began)
            raise
        else:
            break
    hosts.loaded_models.record_answer(model)
    hosts.loaded_models.record_duration(model, monotonic() - began)
    hosts.loaded_models.record_pace(model, _seconds_per_token(whole))
    if (stats := whole.stats) is not None and stats.total_duration:
        worked = (stats.prompt_eval_duration or 0) + (stats.eval_duration or 0)
        waited = max(0, stats.total_duration - (stats.load_duration or 0) - worked)
        hosts.loaded_models.record_waiting(model, waited / 1e9, worked / 1e9)
    await _record(call, whole, prepared)
    if prepared.fit.may_leave_gpu:
        prepared = replace(prepared, notes=[*prepared.notes, *await _gpu_notes(call, prepared)])
    answer = finish(whole, prepared)
    call.habits.record_answer(model)
    return answer


def _is_streamed(call: CallContext, request: ChatRequest | GenerateRequest, *, is_watched: bool) -> bool:
    """Whether an answer is read token by token: not where its length is limited and nobody would miss its beginning.

    The limit of silence (`timeouts.idle`) is that of the whole answer then, so that it has to be far from it. Closing
    the connection stops the model either way: by their source (server/routes.go, llm/), v0.5.7, v0.17.7 and v0.33 ask
    the engine under the context of the client's request, which ends with its connection, and always in a stream. Real
    servers of all three stopped within 0.02 s of CPU time (median) after either was closed while tokens came; while the
    prompt is read, neither stops the first two, and both stop the third at the end of its batch of tokens.
    """
    limit = (request.options or {}).get("num_predict")
    if not isinstance(limit, int) or limit <= 0:
        return True
    seconds = call.hosts.loaded_models.answer_seconds(request.model, limit, unknown=math.inf if is_watched else _SLOW)
    if is_watched and seconds >= SHORT_ANSWER_SECONDS:
        return True
    return math.isinf(seconds) or _MARGIN * seconds > (call.settings.timeouts.idle or math.inf)


def _is_quick(call: CallContext, request: ChatRequest | GenerateRequest) -> bool:
    """Whether an answer of any length may come as one object: a local one, whose progress no client asked for."""
    if call.progress.send is not None or parse_name(request.model).is_cloud:
        return False
    return call.hosts.loaded_models.answers_within(request.model, QUICK_ANSWER_SECONDS)


def _seconds_per_token(whole: Chunk) -> float:
    """What an answer took without loading, queue and prompt included, by its tokens; 0 where it does not tell."""
    stats = whole.stats
    if stats is None or not stats.eval_count or not stats.total_duration:
        return 0.0
    return max(0, stats.total_duration - (stats.load_duration or 0)) / 1e9 / stats.eval_count


async def _follow(
    call: CallContext,
    stream: ChatStream | GenerateStream,
    model: str,
    earlier: Callable[[], int],
    *,
    streamed: bool,
) -> Chunk:
    """Read the answer to its end; of one that is streamed, report the newest text as progress."""
    progress = call.progress

    def newest_text() -> str:
        return stream.text[-TAIL_CHARS:] or f"thinking: {stream.thinking[-TAIL_CHARS:]}"

    progress.text = lambda: stream.text
    async with progress.phase(f"waiting for {model}"):
        # Ollama sends nothing before the first token, so what it waits for is found out beside the request.
        stop_waiting = call.report_waiting(model, earlier)
        try:
            if not streamed:
                return await stream.collect()
            async with stream:
                while await stream.advance():
                    await progress.update(stream.received, newest_text)
        finally:
            stop_waiting()
    return await stream.collect()


async def _record(call: CallContext, whole: Chunk, prepared: PreparedRequest) -> None:
    """Keep what the answer's counts tell: how good the token estimate was, and how much work was done here."""
    stats = whole.stats
    if stats is None:
        return
    fit = prepared.fit
    # A prompt with images says nothing about the estimate of its text, nor does one that was cut.
    real = stats.prompt_eval_count or 0
    says_enough = fit.estimated_tokens >= MIN_ESTIMATE and real
    if fit.digest and says_enough and not prepared.images and not fit.was_truncated(real):
        await call.store.models.record_token_estimate(fit.digest, fit.estimated_tokens, real)
    placements = call.hosts.loaded_models.placements
    while placements:
        await call.store.models.record_gpu_placement(*placements.popitem())
    call.store.usage.count(
        prepared.model,
        cloud=bool(whole.remote_host) or parse_name(prepared.model).is_cloud,
        prompt_tokens=stats.prompt_eval_count or 0,
        tokens=stats.eval_count or 0,
        file_tokens=prepared.request.file_tokens,
        seconds=(stats.total_duration or 0) / 1e9,
    )


def _record_cut(
    call: CallContext, stream: ChatStream | GenerateStream, prepared: PreparedRequest, seconds: float
) -> None:
    """Count what the host did for an answer that was cancelled or broke off: the estimate of what had come."""
    if (stats := stream.stats) is not None:
        call.store.usage.count(
            prepared.model,
            cloud=parse_name(prepared.model).is_cloud,
            prompt_tokens=stats.prompt_eval_count or 0,
            tokens=stats.eval_count or 0,
            file_tokens=prepared.request.file_tokens,
            seconds=seconds,
        )


async def _gpu_notes(call: CallContext, prepared: PreparedRequest) -> list[str]:
    """A note where the larger context pushed a part of the model out of the GPU's memory."""
    call.hosts.loaded_models.invalidate()
    running = await call.hosts.loaded_models.find(prepared.model)
    if running is None or not running.size or running.size_vram >= running.size:
        return []
    share = round(100 * running.size_vram / running.size)
    return [
        f"With num_ctx {prepared.fit.num_ctx:,} only {share} % of {prepared.model} is on the GPU, so it is slower; a "
        "shorter prompt or a smaller model would fit."
    ]


def _with_images(conversation: Conversation, images: list[str]) -> list[ChatMessage]:
    """The messages with their own images, and the call's images and sounds in the user's last message."""
    messages = [message.model_copy() for message in conversation.messages]
    left, counts = list(images), conversation.image_counts
    for message, count in zip(messages[len(messages) - len(counts) :], counts, strict=True):
        message.images = left[:count] or None
        del left[:count]
    if left:
        last = replace(conversation, messages=messages).last_user_message
        last.images = [*(last.images or []), *left]
    return messages
