"""POST /api/embed and the older POST /api/embeddings.

The vectors come from feature hashing: texts that share words or trigrams of letters get similar vectors.
"""

from __future__ import annotations

import asyncio
import math
import re
import struct
import time
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

from ollama_mcp.simulator import go_json, request_fields
from ollama_mcp.simulator.errors import ErrorResponse
from ollama_mcp.simulator.go_json import FieldDecoder, as_list
from ollama_mcp.simulator.http import HttpRequest
from ollama_mcp.simulator.language import count_tokens
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.request_fields import context_length, load_options, merge_options
from ollama_mcp.simulator.response import ResponseWriter
from ollama_mcp.simulator.server_versions import Generation
from ollama_mcp.simulator.store import StoredModel, capabilities

_WORD = re.compile(r"\w+")
_HASHES_PER_FEATURE = 6
_TOO_LONG = "the input length exceeds the context length"
_NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"


@lru_cache(maxsize=8)
def _embed_request(generation: Generation) -> FieldDecoder:
    fields: dict[str, FieldDecoder] = {
        "model": go_json.string,
        "input": go_json.anything,
        "truncate": go_json.boolean,
        "keep_alive": request_fields.keep_alive,
        "options": go_json.mapping,
    }
    if generation.has_dimensions:
        # Older servers ignore it as an unknown field.
        fields["dimensions"] = go_json.integer
    return go_json.struct("EmbedRequest", fields)


_EMBEDDINGS_REQUEST = go_json.struct(
    "EmbeddingRequest",
    {
        "model": go_json.string,
        "prompt": go_json.string,
        "keep_alive": request_fields.keep_alive,
        "options": go_json.mapping,
    },
)


async def embed(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Embed one text or several."""
    started = time.perf_counter_ns()
    body = _embed_request(machine.generation)(go_json.parse(request.body), "")
    # Checked first: a wrong type is reported even if the model is missing.
    texts = _texts(body.get("input"))
    hint = bool(body.get("model"))
    model, body["model"] = machine.resolve_model(body.get("model", ""), request.path, pull_hint=hint)
    _check_capability(machine, model, 501)
    options = merge_options(model, body.get("options"), machine.generation)
    context = context_length(model, options)
    loaded = load_options(options, context)
    async with machine.scheduler.use(model, loaded, context, body.get("keep_alive")) as (_, load_nanoseconds):
        # The real server also loads the model for an empty list.
        if not texts:
            return response.json({"model": body["model"], "embeddings": []})
        counts = [_token_count(machine, text, context, truncate=body.get("truncate", True)) for text in texts]
        vectors: list[list[float]] = []
        for text in texts:
            await asyncio.sleep(machine.latency.embed)
            vectors.append(_shorten(text_vector(text, _dimensions(model)), body.get("dimensions", 0)))
        durations = {"total_duration": time.perf_counter_ns() - started, "load_duration": load_nanoseconds}
        counters = {**durations, "prompt_eval_count": sum(counts)}
        response.json({"model": body["model"], "embeddings": vectors, **counters})


async def embeddings(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Embed one text, the endpoint of servers before v0.2.6."""
    body = _EMBEDDINGS_REQUEST(go_json.parse(request.body), "")
    if not body.get("model"):
        raise ErrorResponse(400, "model is required")
    model, _ = machine.resolve_model(body["model"], request.path, pull_hint=True)
    # This endpoint has another status than embed for the same error.
    _check_capability(machine, model, 500)
    options = merge_options(model, body.get("options"), machine.generation)
    context = context_length(model, options)
    async with machine.scheduler.use(model, load_options(options, context), context, body.get("keep_alive")):
        prompt = body.get("prompt", "")
        if not prompt:
            return response.json({"embedding": []})
        if machine.generation.since(0, 12, 6) and count_tokens(prompt) > context:
            raise ErrorResponse(500, _TOO_LONG)
        await asyncio.sleep(machine.latency.embed)
        response.json({"embedding": text_vector(prompt, _dimensions(model))})


def _texts(value: Any) -> list[str]:
    # An empty string gives no vector, unlike a list with an empty string.
    if value is None or value == "":
        return []
    texts = [value] if isinstance(value, str) else as_list(value)
    if not all(isinstance(text, str) for text in texts) or not isinstance(value, str | list):
        raise ErrorResponse(400, "invalid input type")
    return cast("list[str]", texts)


def _check_capability(machine: Machine, model: StoredModel, status: int) -> None:
    # Before llama-server any model could embed.
    if machine.generation.has_native_templates and "embedding" not in capabilities(model, machine.generation):
        raise ErrorResponse(status, _NO_EMBEDDINGS)


def _token_count(machine: Machine, text: str, context: int, *, truncate: bool) -> int:
    """The tokens of a text, at most those of the context.

    Raises:
        ErrorResponse: 400, the text is longer and must not be truncated.
    """
    tokens = count_tokens(text) + 2
    if tokens > context and not truncate:
        is_new = machine.generation.since(0, 12, 6)
        raise ErrorResponse(400, _TOO_LONG if is_new else "input length exceeds maximum context length")
    return min(tokens, context)


def _dimensions(model: StoredModel) -> int:
    return model.header.number("embedding_length") or 32


def _shorten(vector: list[float], dimensions: int) -> list[float]:
    # More dimensions than the model has are ignored.
    return normalized(vector[:dimensions]) if 0 < dimensions < len(vector) else vector


def text_vector(text: str, size: int) -> list[float]:
    """The vector of a text, `size` single-precision numbers, with length one."""
    vector = [0.0] * size
    for feature, weight in _features(text.lower()):
        for index, sign in _hash_buckets(feature, size):
            vector[index] += sign * weight
    return normalized(vector)


def normalized(vector: list[float]) -> list[float]:
    """The vector scaled to length one and rounded to single precision; a zero vector is unchanged."""
    length = math.sqrt(math.fsum(value * value for value in vector)) or 1.0
    packed = struct.pack(f"{len(vector)}f", *(value / length for value in vector))
    return [float(f"{value:.8g}") for value in struct.unpack(f"{len(vector)}f", packed)]


def _features(text: str) -> Iterator[tuple[str, float]]:
    # This feature, which every text has, keeps the vector of an empty text from being zero.
    yield "", 0.2
    for word in _WORD.findall(text):
        yield word, 1.0
        padded = f"^{word}$"
        for start in range(len(padded) - 2):
            yield padded[start : start + 3], 0.4


@lru_cache(maxsize=20_000)
def _hash_buckets(feature: str, size: int) -> tuple[tuple[int, float], ...]:
    data = feature.encode("utf-8", "replace")
    codes = [zlib.crc32(data, seed) for seed in range(_HASHES_PER_FEATURE)]
    return tuple((code % size, 1.0 if code & 0x40000000 else -1.0) for code in codes)
