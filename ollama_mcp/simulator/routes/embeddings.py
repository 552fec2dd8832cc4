"""POST /api/embed and the older POST /api/embeddings."""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from typing import Any, cast

from ollama_mcp.simulator import decoding
from ollama_mcp.simulator.capabilities import capabilities
from ollama_mcp.simulator.decoding import Check
from ollama_mcp.simulator.embedding import embed as vector_of
from ollama_mcp.simulator.embedding import normalised
from ollama_mcp.simulator.encoding import as_list
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.generations import Generation
from ollama_mcp.simulator.http import Request
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.reply import Reply
from ollama_mcp.simulator.routes.cloud import find_model
from ollama_mcp.simulator.settings import context_length, load_options, merged_options
from ollama_mcp.simulator.store import Model
from ollama_mcp.simulator.tokens import count_tokens

_TOO_LONG = "the input length exceeds the context length"
_NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"


@lru_cache(maxsize=8)
def _embed_request(generation: Generation) -> Check:
    fields: dict[str, Check] = {
        "model": decoding.string,
        "input": decoding.anything,
        "truncate": decoding.boolean,
        "keep_alive": decoding.keep_alive,
        "options": decoding.mapping,
    }
    if generation.has_dimensions:
        fields["dimensions"] = decoding.integer
    return decoding.struct("EmbedRequest", fields)


_EMBEDDINGS_REQUEST = decoding.struct(
    "EmbeddingRequest",
    {
        "model": decoding.string,
        "prompt": decoding.string,
        "keep_alive": decoding.keep_alive,
        "options": decoding.mapping,
    },
)


async def embed(machine: Machine, request: Request, reply: Reply) -> None:
    """Vectors for one text or many."""
    started = time.perf_counter_ns()
    body = _embed_request(machine.generation)(decoding.parse(request.body), "")
    # Before the model: a wrong type is told even where the model is missing.
    texts = _texts(body.get("input"))
    hint = bool(body.get("model"))
    model, body["model"] = find_model(machine, body.get("model", ""), request.path, pull_hint=hint)
    _check_able(machine, model, 501)
    options = merged_options(model, body.get("options"), machine.generation)
    context = context_length(model, options)
    async with machine.scheduler.use(model, load_options(options, context), context, body.get("keep_alive")) as (
        _,
        ready,
    ):
        # The model was loaded for nothing, as the real server does it.
        if not texts:
            return reply.json({"model": body["model"], "embeddings": []})
        counts = [_fitted(machine, text, context, truncates=body.get("truncate", True)) for text in texts]
        vectors: list[list[float]] = []
        for text in texts:
            await asyncio.sleep(machine.latency.embed)
            vectors.append(_sized(vector_of(text, _size(model)), body.get("dimensions", 0)))
        answer = {"model": body["model"], "embeddings": vectors}
        reply.json(
            answer
            | {"total_duration": time.perf_counter_ns() - started, "load_duration": ready}
            | {"prompt_eval_count": sum(counts)}
        )


async def embeddings(machine: Machine, request: Request, reply: Reply) -> None:
    """A vector for one text, as servers before v0.2.6 had it."""
    body = _EMBEDDINGS_REQUEST(decoding.parse(request.body), "")
    if not body.get("model"):
        raise Failure(400, "model is required")
    model, _ = find_model(machine, body["model"], request.path, pull_hint=True)
    _check_able(machine, model, 500)
    options = merged_options(model, body.get("options"), machine.generation)
    context = context_length(model, options)
    async with machine.scheduler.use(model, load_options(options, context), context, body.get("keep_alive")):
        prompt = body.get("prompt", "")
        if not prompt:
            return reply.json({"embedding": []})
        if machine.generation.since(0, 12, 6) and count_tokens(prompt) > context:
            raise Failure(500, _TOO_LONG)
        await asyncio.sleep(machine.latency.embed)
        reply.json({"embedding": vector_of(prompt, _size(model))})


def _texts(given: Any) -> list[str]:
    if given is None or given == "":
        return []
    texts = [given] if isinstance(given, str) else as_list(given)
    if not all(isinstance(text, str) for text in texts) or not isinstance(given, str | list):
        raise Failure(400, "invalid input type")
    return cast("list[str]", texts)


def _check_able(machine: Machine, model: Model, status: int) -> None:
    if machine.generation.native_templates and "embedding" not in capabilities(model, machine.generation):
        raise Failure(status, _NO_EMBEDDINGS)


def _fitted(machine: Machine, text: str, context: int, *, truncates: bool) -> int:
    """Tokens of a text, cut to the context.

    Raises:
        Failure: 400, it is longer and must not be cut.
    """
    tokens = count_tokens(text) + 2
    if tokens > context and not truncates:
        newer = machine.generation.since(0, 12, 6)
        raise Failure(
            400,
            "the input length exceeds the context length" if newer else "input length exceeds maximum context length",
        )
    return min(tokens, context)


def _size(model: Model) -> int:
    return model.header.number("embedding_length") or 32


def _sized(vector: list[float], dimensions: int) -> list[float]:
    return normalised(vector[:dimensions]) if 0 < dimensions < len(vector) else vector
