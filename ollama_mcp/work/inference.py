"""What chat and generate share: making a request ready, following the answer, learning from its real counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import ContextOverflow, InvalidArgument, TooLong
from ollama_mcp.formats.names import parse_name
from ollama_mcp.formats.options import split_options
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.work import fitting
from ollama_mcp.work.choosing import Task, choose
from ollama_mcp.work.outcome import finish

if TYPE_CHECKING:
    from ollama_mcp.api import ChatRequest, ChatStream, Chunk, GenerateRequest, GenerateStream
    from ollama_mcp.work.answers import Answer
    from ollama_mcp.work.context import CallContext

TAIL_CHARS = 800


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asked for, as far as chat and generate have it in common.

    Args:
        task: Whose default model counts.
        model: The model's name, or "".
        format: "json", a JSON Schema or None.
        think: As Ollama takes it, or None.
        options: Model options and what the API keeps beside them.
        include: What the answer shall hold beside the words.
        images: Sources of images.
        audio: Sources of sounds.
        way_out: What to do with a prompt that cannot fit.
        file_tokens: Estimated tokens of the prompt that came from files, which the agent never saw.
        carried: Tokens that go with the prompt as they are (`context` of generate).
        needs: Capabilities that a model must have to be chosen, beside what the rest of the wish shows.
    """

    task: Task
    model: str
    format: dict[str, Any] | str | None = None
    think: bool | str | None = None
    options: dict[str, Any] | None = None
    include: Sequence[str] = ()
    images: Sequence[str] = ()
    audio: Sequence[str] = ()
    way_out: str = "Send less, or name a model with a longer context."
    file_tokens: int = 0
    carried: int = 0
    needs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A wish made ready: the model, images and sounds as Ollama takes them (in one list), the shared fields."""

    wish: Wish
    model: str
    fit: fitting.Fit
    images: list[str] = field(default_factory=list[str])
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])

    @property
    def wants_logprobs(self) -> bool:
        """Whether the answer carries log-probabilities."""
        return bool(self.fields.get("logprobs"))


async def prepare(call: CallContext, wish: Wish, texts: Sequence[str]) -> Prepared:
    """Check what Ollama would not, and choose what the caller left open.

    Args:
        call: The context of the call.
        wish: What was asked for.
        texts: Everything that the model reads.

    Raises:
        OllamaMCPError: A limit, a missing capability or a wrong argument; nothing was sent to the model.
    """
    check_size(call, texts)
    chosen = await choose(call, wish.model, wish.task, vision=bool(wish.images), also=_needed(wish))
    model = chosen.model
    notes = [chosen.note] if chosen.note else []
    images = await _senses(call, wish, model, notes)
    think = await _think(call, model, wish)
    plain, beside = split_options(call.settings.defaults.options, wish.options)
    plain = await _room_to_think(call, wish, model, think, plain)
    need = fitting.Need(
        tokens=sum(map(estimate_tokens, texts)) + wish.carried,
        images=len(images),
        answer=_answer_tokens(plain),
        num_ctx=plain.get("num_ctx"),
        way_out=wish.way_out,
    )
    fit = await fitting.fit(call, model, need)
    if fit.num_ctx is not None:
        plain["num_ctx"] = fit.num_ctx
    top = beside.get("top_logprobs")
    fields = {
        "format": wish.format,
        "think": think,
        "options": plain or None,
        "truncate": await _truncate(call, model, fit, beside.get("truncate")),
        "shift": beside.get("shift"),
        "logprobs": True if "logprobs" in wish.include or top else None,
        "top_logprobs": top,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return Prepared(wish, model, fit, images, given, notes)


async def answer(
    call: CallContext,
    request: ChatRequest | GenerateRequest,
    prepared: Prepared,
    *,
    quiet: bool = False,
    began: Callable[[], None] | None = None,
) -> Answer:
    """Send the request, follow the answer to its end and make the result of it.

    Leaving early closes the request to Ollama. A prompt that the server finds too long for the context that was
    expected is sent again with a larger one, where there may be one.

    Args:
        call: The context of the call.
        request: The request, made of what was prepared.
        prepared: What was prepared.
        quiet: Whether the progress is left alone, since it tells of more than this answer.
        began: Called when the first piece of the answer is there.

    Raises:
        OllamaMCPError: What the host or the answer was lacking.
    """
    while True:
        try:
            whole, prepared = await _sent(call, request, prepared, quiet=quiet, began=began)
            return finish(whole, prepared)
        except ContextOverflow as error:
            images, way_out = len(prepared.images), prepared.wish.way_out
            fit = await fitting.refused(call, prepared.model, prepared.fit, error, images=images, way_out=way_out)
            prepared = replace(prepared, fit=fit)
            request = request.model_copy(update={"options": {**(request.options or {}), "num_ctx": fit.num_ctx}})


async def _sent(
    call: CallContext,
    request: ChatRequest | GenerateRequest,
    prepared: Prepared,
    *,
    quiet: bool,
    began: Callable[[], None] | None,
) -> tuple[Chunk, Prepared]:
    from ollama_mcp.api import ChatRequest

    num_ctx = (request.options or {}).get("num_ctx")
    if num_ctx is not None:
        call.hosts.contexts.remember(prepared.model, num_ctx)
    stream = call.client.chat(request) if isinstance(request, ChatRequest) else call.client.generate(request)
    with call.in_use.using(prepared.model):
        if began is not None:
            # What is read here counts: the stream keeps all of it for its whole answer.
            await anext(stream, None)
            began()
        whole = await (stream.collect() if quiet else _follow(call, stream, prepared.model))
    call.hosts.contexts.answered(prepared.model)
    await _learn(call, whole, prepared)
    if prepared.fit.leaves_gpu_in_doubt:
        prepared = replace(prepared, notes=[*prepared.notes, *await _left_gpu(call, prepared)])
    return whole, prepared


async def _learn(call: CallContext, whole: Chunk, prepared: Prepared) -> None:
    """Keep what the answer's real counts tell: of the estimate, and of the work that was done here."""
    stats = whole.stats
    if stats is None:
        return
    await fitting.learn(call, prepared.fit, stats, images=len(prepared.images))
    for digest, wholly in call.hosts.contexts.seen_on_gpu().items():
        await call.store.models.saw_on_gpu(digest, wholly)
    call.store.usage.count(
        prepared.model,
        cloud=bool(whole.remote_host) or parse_name(prepared.model).is_cloud,
        prompt_tokens=stats.prompt_eval_count or 0,
        tokens=stats.eval_count or 0,
        file_tokens=prepared.wish.file_tokens,
        seconds=stats.total_seconds or 0.0,
    )


async def _left_gpu(call: CallContext, prepared: Prepared) -> list[str]:
    """A note where the larger context pushed a part of the model out of the GPU's memory."""
    call.hosts.contexts.forget()
    running = await call.hosts.contexts.loaded(prepared.model)
    if running is None or not running.size or running.size_vram >= running.size:
        return []
    share = round(100 * running.size_vram / running.size)
    return [
        f"With num_ctx {prepared.fit.num_ctx:,} only {share} % of {prepared.model} is on the GPU, so it is slower; a "
        "shorter prompt or a smaller model would fit."
    ]


async def _follow(call: CallContext, stream: ChatStream | GenerateStream, model: str) -> Chunk:
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


def _needed(wish: Wish) -> list[str]:
    """What a model that nobody named must be able to do, images aside."""
    own = [name for name, given in (("audio", wish.audio), ("thinking", wish.think)) if given]
    return [*wish.needs, *own]


async def _senses(call: CallContext, wish: Wish, model: str, notes: list[str]) -> list[str]:
    """Images and sounds as Ollama takes them; what was done to them goes into the notes."""
    if not wish.images and not wish.audio:
        return []
    from ollama_mcp.work.senses import hear, see

    images = await see(call, wish.images, model, notes) if wish.images else []
    return images + (await hear(call, wish.audio, model, notes) if wish.audio else [])


async def _think(call: CallContext, model: str, wish: Wish) -> bool | str | None:
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


async def _room_to_think(
    call: CallContext, wish: Wish, model: str, think: bool | str | None, options: dict[str, Any]
) -> dict[str, Any]:
    """The options with thinking on top of an answer's budget that the settings gave, not the caller."""
    budget = options.get("num_predict")
    if not isinstance(budget, int) or budget <= 0 or think is False or "num_predict" in (wish.options or {}):
        return options
    if parse_name(model).is_cloud or not (await call.hosts.thinking(model)).thinks:
        return options
    return {**options, "num_predict": budget + fitting.THINKING_TOKENS}


async def _truncate(call: CallContext, model: str, fit: fitting.Fit, given: bool | None) -> bool | None:
    """The truncate field: the caller's, else false where the prompt comes near the limit and the server knows it."""
    if given is not None or not fit.is_close or parse_name(model).is_cloud:
        return given
    from ollama_mcp.api import Feature

    return False if (await call.client.server()).supports(Feature.TRUNCATE_SHIFT) else None


def _answer_tokens(options: dict[str, Any]) -> int:
    budget = options.get("num_predict")
    return budget if isinstance(budget, int) and budget > 0 else fitting.ANSWER_TOKENS


def check_size(call: CallContext, texts: Sequence[str]) -> None:
    """Hold the texts of one request to the limit of the settings.

    Raises:
        TooLong: Names the limit.
    """
    size = sum(len(text) if text.isascii() else len(text.encode(errors="replace")) for text in texts)
    limit = call.settings.limits.prompt_bytes
    if size > limit:
        raise TooLong(
            f"The prompt has {size:,} bytes, at most {limit:,} are taken.",
            next_step="Send less, or raise limits.prompt_bytes in the settings.",
        )
