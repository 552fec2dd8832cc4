"""Embed texts: the similarity of each pair, or the raw vectors."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from operator import mul
from typing import Annotated

from pydantic import BaseModel, Field

from ollama_mcp import INFERS, Call, Data, tool
from ollama_mcp.api import EmbeddingsRequest, EmbedResponse, Feature
from ollama_mcp.errors import ApiError, ContextOverflow
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.formats.options import split_options
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.server.formatting import format_table
from ollama_mcp.server.types import Background, EmbedModel, KeepAlive, LoadOptions
from ollama_mcp.work.embedding import embed, embed_each
from ollama_mcp.work.model_watch import ModelWatch
from ollama_mcp.work.progress import counted

MAX_COMPARED = 100
MAX_PAIRS = 50
MAX_NAMED = 10
REPLACED = "Vectors of two models cannot be compared. Make the same call again."


class Pair(BaseModel):
    """Two inputs by their index, and the cosine of their vectors: 1 is the same meaning."""

    a: int
    b: int
    similarity: float


class Embeddings(Data):
    """Similarities, or the vectors if requested; a text that was left out has an empty vector."""

    model: str
    count: int
    dimensions: int
    similarities: list[Pair] | None = None
    vectors: list[list[float]] | None = None
    left_out: list[int] | None = None
    note: str | None = None

    def as_text(self) -> str:
        parts = [f"{self.count} embeddings of {self.dimensions} dimensions by {self.model}."]
        if self.similarities:
            parts.append(format_table(("a", "b", "similarity"), ((p.a, p.b, p.similarity) for p in self.similarities)))
        parts += [" ".join(f"{number:.6g}" for number in vector) or "(none)" for vector in self.vectors or []]
        return "\n".join([*parts, self.note] if self.note else parts)


@tool(title="Embed texts", toolset="inference", hints=replace(INFERS, restarts=True))
async def ollama_embed(
    call: Call,
    input: Annotated[list[str], Field(min_length=1)],
    model: EmbedModel = "",
    dimensions: Annotated[int | None, Field(ge=1, description="Shorter vectors, if the model can.")] = None,
    vectors: Annotated[bool, Field(description="Raw vectors: thousands of tokens each.")] = False,
    options: LoadOptions | None = None,
    keep_alive: KeepAlive | None = None,
    background: Background = False,
) -> Embeddings:
    """Compare a few texts by meaning: similarity of each pair, or raw vectors. To search by a query: ollama_search."""
    call.check_count("embed_inputs", input, argument="input")
    chosen = await call.model(model, "embed")
    name = chosen.model
    _, beside = split_options(call.settings.defaults.options, options)
    truncate = beside.get("truncate")
    if truncate is None and (await call.client.server_version()).supports(Feature.EMBED):
        # By default Ollama cuts a text that is too long, and the vector would silently stand for its beginning only.
        truncate = False
    request = partial(
        embed, call, name, truncate=truncate, dimensions=dimensions, options=options, keep_alive=keep_alive
    )
    found = await _embed_in_chunks(call, name, input, request)
    rows = [[] if isinstance(vector, ApiError) else vector for vector in found]
    left_out = [index for index, vector in enumerate(found) if isinstance(vector, ApiError)]
    pairs, notes = await asyncio.to_thread(_compare, rows) if not vectors else ([], [])
    notes = [*([chosen.note] if chosen.note else []), *_left_out_notes(found), *notes]
    size = max(map(len, rows))
    if dimensions and size < dimensions:
        notes = [f"{name} has no more than {size} dimensions, so dimensions={dimensions} changed nothing.", *notes]
    return Embeddings(
        model=name,
        count=len(rows) - len(left_out),
        dimensions=size,
        similarities=pairs or None,
        vectors=rows if vectors else None,
        left_out=left_out or None,
        note=" ".join(notes) or None,
    )


async def _embed_in_chunks(
    call: Call, model: str, texts: Sequence[str], request: Callable[[Sequence[str]], Awaitable[EmbedResponse]]
) -> list[list[float] | ApiError]:
    """All vectors in the order of the texts, a few dozen per request: Ollama embeds them one by one anyway.

    Raises:
        OllamaMCPError: A text is too long, or no text has a usable vector.
    """

    async def vectors_of(part: Sequence[str]) -> list[list[float]]:
        return (await request(part)).embeddings

    chunk = call.settings.limits.embed_chunk
    rows: list[list[float] | ApiError] = []
    watch = await ModelWatch.begin(call, model, REPLACED) if len(texts) > chunk else None
    async with call.progress.phase(f"embedding {counted(len(texts), 'text')} with {model}"):
        for start in range(0, len(texts), chunk):
            rows += await embed_each(texts[start : start + chunk], vectors_of)
            _check(rows)
            message = f"{len(rows)} of {len(texts)} texts"
            await call.progress.update(len(rows), message.__str__, total=len(texts))
            if watch is not None and (watch.is_due(chunk) or len(rows) == len(texts)):
                await watch.check()
    return rows


def _check(rows: Sequence[list[float] | ApiError]) -> None:
    """Refuse texts that are too long, by their numbers, and a model that has no vector for any text."""
    too_long = {index: row for index, row in enumerate(rows) if isinstance(row, ContextOverflow)}
    for error in too_long.values():
        if len(rows) > 1:
            error.message = f"{_inputs(list(too_long))}: {error.message}"
        raise error
    if isinstance(rows[0], ApiError) and all(isinstance(row, ApiError) for row in rows):
        raise rows[0]


def _left_out_notes(rows: Sequence[list[float] | ApiError]) -> list[str]:
    failed = [index for index, row in enumerate(rows) if isinstance(row, ApiError)]
    first = rows[failed[0]] if failed else None
    return [f"Left out: {_inputs(failed)}. {first.message}"] if isinstance(first, ApiError) else []


def _inputs(numbers: Sequence[int]) -> str:
    """Texts by their index: the first few, and how many more."""
    more = f" and {len(numbers) - MAX_NAMED} more" if len(numbers) > MAX_NAMED else ""
    return ", ".join(f"input[{number}]" for number in numbers[:MAX_NAMED]) + more


def _compare(rows: Sequence[Sequence[float]]) -> tuple[list[Pair], list[str]]:
    """The most similar pairs among the first hundred texts, and what was left out."""
    # The pairs grow with the square of the texts: a hundred have 4,950.
    compared = {index: _normalised(row) for index, row in enumerate(rows[:MAX_COMPARED]) if row}
    pairs = [
        Pair(a=a, b=b, similarity=round(sum(map(mul, compared[a], compared[b])), 4))
        for a, b in combinations(compared, 2)
    ]
    pairs.sort(key=lambda pair: -pair.similarity)
    notes = [f"Only the first {MAX_COMPARED} texts were compared."] if len(rows) > MAX_COMPARED else []
    notes += [f"The {MAX_PAIRS} nearest of {len(pairs)} pairs are shown."] if len(pairs) > MAX_PAIRS else []
    return pairs[:MAX_PAIRS], notes


def _normalised(row: Sequence[float]) -> list[float]:
    length = math.sqrt(sum(map(mul, row, row))) or 1.0
    return [number / length for number in row]


class Embedding(Data):
    """The vector of one text."""

    embedding: list[float]
    note: str | None = None

    def as_text(self) -> str:
        numbers = " ".join(f"{number:.6g}" for number in self.embedding)
        return f"{numbers}\n{self.note}" if self.note else numbers


@tool(title="Embed one text (legacy)", toolset="legacy", hints=INFERS)
async def ollama_embeddings(
    call: Call,
    prompt: Annotated[str, Field(description="The text.")],
    model: EmbedModel = "",
    options: LoadOptions | None = None,
    keep_alive: KeepAlive | None = None,
) -> Embedding:
    """Embed one text through Ollama's old endpoint and get the raw vector. Superseded by ollama_embed."""
    plain, _ = split_options(call.settings.defaults.options, options)
    chosen = await call.model(model, "embed")
    request = EmbeddingsRequest(
        model=chosen.model, prompt=prompt, options=plain or None, keep_alive=call.keep_alive(keep_alive)
    )
    start = time.monotonic()
    response = await call.client.embeddings(request)
    call.habits.record_answer(chosen.model)
    # The old endpoint reports neither tokens nor time.
    call.store.usage.count(
        chosen.model,
        cloud=parse_name(chosen.model).is_cloud,
        prompt_tokens=estimate_tokens(prompt),
        tokens=0,
        file_tokens=0,
        seconds=time.monotonic() - start,
    )
    return Embedding(embedding=response.embedding, note=chosen.note or None)
