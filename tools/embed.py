"""Texts as vectors, and how near they are to one another."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from operator import mul
from typing import Annotated

from pydantic import BaseModel, Field

from ollama_mcp import INFERS, Call, Data, tool
from ollama_mcp.api import EmbedResponse, Feature
from ollama_mcp.formats.options import split_options
from ollama_mcp.server.text import table
from ollama_mcp.server.types import Background, EmbedModel, KeepAlive, LoadOptions
from ollama_mcp.work.embedding import embed

COMPARED = 100
PAIRS_SHOWN = 50


class Pair(BaseModel):
    """Two inputs by their place in the list, and the cosine of their vectors: 1 is the same meaning."""

    a: int
    b: int
    similarity: float


class Embeddings(Data):
    """The outcome for the agent: similarities, or the vectors where asked for."""

    model: str
    count: int
    dimensions: int
    similarities: list[Pair] | None = None
    vectors: list[list[float]] | None = None
    note: str | None = None

    def as_text(self) -> str:
        parts = [f"{self.count} embeddings of {self.dimensions} dimensions by {self.model}."]
        if self.similarities:
            parts.append(table(("a", "b", "similarity"), ((p.a, p.b, p.similarity) for p in self.similarities)))
        parts += [" ".join(f"{number:.6g}" for number in vector) for vector in self.vectors or []]
        return "\n".join([*parts, self.note] if self.note else parts)


@tool(title="Embed texts", toolset="inference", hints=INFERS)
async def ollama_embed(
    call: Call,
    input: Annotated[list[str], Field(description="One text or many.", min_length=1)],
    model: EmbedModel = "",
    dimensions: Annotated[int | None, Field(ge=1, description="Shorter vectors, where the model can.")] = None,
    vectors: Annotated[bool, Field(description="Return the raw vectors: thousands of tokens each.")] = False,
    options: LoadOptions | None = None,
    keep_alive: KeepAlive | None = None,
    background: Background = False,
) -> Embeddings:
    """Compare a few texts by meaning: how similar each pair is, nearest first; the raw vectors on request. To search
    texts or files by a query use ollama_rank.
    """
    call.check_count("embed_inputs", input, argument="input")
    chosen = await call.model(model, "embed")
    name = chosen.model
    _, beside = split_options(call.settings.defaults.options, options)
    cut = beside.get("truncate")
    if cut is None and (await call.client.server()).supports(Feature.EMBED):
        # Else the vector of a text that is too long would stand for its beginning without a word.
        cut = False
    ask = partial(embed, call, name, truncate=cut, dimensions=dimensions, options=options, keep_alive=keep_alive)
    rows = await _in_chunks(call, name, input, ask)
    pairs, notes = await asyncio.to_thread(_compare, rows) if not vectors else ([], [])
    notes = [chosen.note, *notes] if chosen.note else notes
    size = len(rows[0])
    if dimensions and size < dimensions:
        notes = [f"{name} has no more than {size} dimensions, so dimensions={dimensions} changed nothing.", *notes]
    return Embeddings(
        model=name,
        count=len(rows),
        dimensions=size,
        similarities=pairs or None,
        vectors=rows if vectors else None,
        note=" ".join(notes) or None,
    )


async def _in_chunks(
    call: Call, model: str, texts: Sequence[str], ask: Callable[[Sequence[str]], Awaitable[EmbedResponse]]
) -> list[list[float]]:
    """All vectors in the order of the texts, a few dozen per request: Ollama works on them one by one anyway."""
    chunk = call.settings.limits.embed_chunk
    rows: list[list[float]] = []
    async with call.progress.phase(f"embedding {len(texts)} texts with {model}"):
        for start in range(0, len(texts), chunk):
            rows += (await ask(texts[start : start + chunk])).embeddings
            said = f"{len(rows)} of {len(texts)} texts"
            await call.progress.update(len(rows), said.__str__, total=len(texts))
    return rows


def _compare(rows: Sequence[Sequence[float]]) -> tuple[list[Pair], list[str]]:
    """The most similar pairs among the first hundred texts, and what was left out."""
    compared = [_normalised(row) for row in rows[:COMPARED]]
    pairs = [
        Pair(a=a, b=b, similarity=round(sum(map(mul, compared[a], compared[b])), 4))
        for a in range(len(compared))
        for b in range(a + 1, len(compared))
    ]
    pairs.sort(key=lambda pair: -pair.similarity)
    notes = [f"Only the first {COMPARED} texts were compared."] if len(rows) > COMPARED else []
    notes += [f"The {PAIRS_SHOWN} nearest of {len(pairs)} pairs are shown."] if len(pairs) > PAIRS_SHOWN else []
    return pairs[:PAIRS_SHOWN], notes


def _normalised(row: Sequence[float]) -> list[float]:
    length = math.sqrt(sum(map(mul, row, row))) or 1.0
    return [number / length for number in row]
