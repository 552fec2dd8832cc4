"""Requests for embedding vectors, with their usage recorded, and the binary form in which vectors are stored."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ollama_mcp.errors import ApiError, ContextOverflow, UnusableVector
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.formats.options import split_options
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.hosts.model_cards import default_options

if TYPE_CHECKING:
    from ollama_mcp.api import EmbedResponse
    from ollama_mcp.work.call_context import CallContext

Vector = TypeVar("Vector")

# Every server loads a model with at least this context, or with the model's own where that is shorter.
_LEAST_CONTEXT = 2_048
# About the largest 32-bit float (IEEE 754).
_MAX_FLOAT32 = 3.4e38


async def embed(
    call: CallContext,
    model: str,
    texts: Sequence[str],
    *,
    truncate: bool | None = False,
    dimensions: int | None = None,
    options: dict[str, Any] | None = None,
    keep_alive: float | str | None = None,
    file_texts: Sequence[str] = (),
) -> EmbedResponse:
    """Embed texts in one request.

    Args:
        call: The context of the call.
        model: The model.
        texts: The texts.
        truncate: Whether a text that is too long is cut; False makes it an error, None leaves it to the server.
        dimensions: The length of the vectors, for models that can return shorter ones.
        options: The caller's options, in addition to those of the settings.
        keep_alive: How long the model stays loaded, or None.
        file_texts: Those of the texts that come from files; usage counts what the agent did not have to read.

    Raises:
        OllamaMCPError: The host or the model fails, or a text is too long.
    """
    from ollama_mcp.api import EmbedRequest

    plain, _ = split_options(call.settings.defaults.options, options)
    request = EmbedRequest(
        model=model,
        input=list(texts),
        truncate=truncate,
        dimensions=dimensions,
        options=plain or None,
        keep_alive=call.keep_alive(keep_alive),
    )
    with call.in_use.track(model):
        try:
            answer = await call.client.embed(request)
        except ContextOverflow as error:
            error.next_step = await _how_to_fit(call, model, plain.get("num_ctx"), truncate=truncate)
            raise
    call.habits.record_answer(model)
    call.store.usage.count(
        model,
        cloud=parse_name(model).is_cloud,
        prompt_tokens=answer.prompt_eval_count or 0,
        tokens=0,
        file_tokens=await asyncio.to_thread(_tokens, file_texts) if file_texts else 0,
        seconds=answer.total_seconds or 0.0,
    )
    return answer


async def embed_each(
    texts: Sequence[str], request: Callable[[Sequence[str]], Awaitable[Sequence[Vector]]]
) -> list[Vector | ApiError]:
    """Embed texts together; those that cannot be embedded do not fail the others.

    Ollama refuses the whole request and does not say for which text: it is halved until those are alone.

    Args:
        texts: The texts.
        request: Returns the vectors of some of them, in one request.

    Returns:
        For each text its vector, or why it has none.

    Raises:
        OllamaMCPError: The host or the model fails, whatever the text.
    """
    try:
        return list(await request(texts))
    except (ContextOverflow, UnusableVector) as error:
        if len(texts) == 1:
            return [error]
    middle = len(texts) // 2
    first = await embed_each(texts[:middle], request)
    return first + await embed_each(texts[middle:], request)


def pack_vectors(vectors: Sequence[Sequence[float]], model: str, *, unit: bool = False) -> list[bytes]:
    """Return vectors as 32-bit floats, little-endian; blocking, call it in a thread.

    Args:
        vectors: The vectors.
        model: The model that returned them, for the error.
        unit: Whether to scale them to length one; a vector of zeros stays as it is.

    Raises:
        UnusableVector: A vector is empty, or has numbers that 32 bits cannot hold.
    """
    packed: list[bytes] = []
    for vector in vectors:
        length = math.hypot(*vector)
        # Written so that NaN, for which every comparison is false, is refused too.
        if not vector or not length <= _MAX_FLOAT32:
            raise UnusableVector("The model returned a vector without usable numbers.", model=model)
        numbers = [number / length for number in vector] if unit and length else vector
        packed.append(struct.pack(f"<{len(vector)}f", *numbers))
    return packed


async def _how_to_fit(call: CallContext, model: str, num_ctx: int | None, *, truncate: bool | None) -> str:
    """What to do about a text that is too long; a larger num_ctx helps only up to the model's own context."""
    card = await call.hosts.card(model)
    own, used = card.context_length, num_ctx or default_options(card).get("num_ctx") or _LEAST_CONTEXT
    remedy = "Split it" if truncate else "Split it, or set options.truncate=true to embed its beginning only"
    if own is None:
        return f"{remedy}, or use a model with a longer context."
    if isinstance(used, int) and used < own:
        return f"{remedy}, or raise options.num_ctx: the model takes up to {own:,} tokens."
    return f"{remedy}, or use a model with a longer context: this one takes {own:,} tokens."


def _tokens(texts: Sequence[str]) -> int:
    return sum(map(estimate_tokens, texts))
