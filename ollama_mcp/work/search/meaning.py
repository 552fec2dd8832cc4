"""The search by meaning: choose the embedding model, embed what is new, find what is nearest to the query."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ollama_mcp.errors import Unsupported
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.hosts.model_cards import capabilities_of, default_options
from ollama_mcp.work.choosing import choose
from ollama_mcp.work.model_watch import ModelWatch
from ollama_mcp.work.search.embedder import Embedder, Prefixes, prefixes_of
from ollama_mcp.work.search.index_cache import IndexCache
from ollama_mcp.work.search.vector_index import BYTES_PER_NUMBER, CACHE_BYTES, VectorIndex, check_numpy, nearest

if TYPE_CHECKING:
    from ollama_mcp.api import ModelCard
    from ollama_mcp.store import Store
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.search.corpus import Corpus
    from ollama_mcp.work.search.fusion import Found

_MAX_NAMED = 3
_REPLACED = "Vectors of two models cannot be compared. Make the same call again."
# For a model whose card names no context length: most embedding models take at least so many tokens.
DEFAULT_CONTEXT_LENGTH = 512

# By store, so that a cache lives as long as its server, and several servers in one process share none.
_caches: WeakKeyDictionary[Store, IndexCache[VectorIndex]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """The model of a search.

    Args:
        name: Its name.
        note: Why it was chosen, or "".
        prefixes: What it expects before each text.
        context_length: In tokens.
    """

    name: str
    note: str
    prefixes: Prefixes
    context_length: int


@dataclass(frozen=True, slots=True)
class Nearest:
    """What is nearest to a query.

    Args:
        found: The places, the nearest first.
        embedded: Number of passages that were embedded now.
        notes: What should be known about the passages.
    """

    found: list[Found]
    embedded: int
    notes: list[str]


async def embedding_model(call: CallContext, name: str) -> EmbeddingModel:
    """The model that is named, or the one that is chosen.

    Raises:
        ModelNotFound: There is none.
        OllamaMCPError: It cannot embed, or the host fails.
    """
    chosen = await choose(call, name, "embed")
    card = await call.hosts.card(chosen.model)
    _check_model(chosen.model, card)
    return EmbeddingModel(chosen.model, chosen.note, prefixes_of(chosen.model, card), _context_length(call, card))


async def search_meaning(call: CallContext, model: EmbeddingModel, query: str, corpus: Corpus, count: int) -> Nearest:
    """Find the places that are nearest to a query in meaning; what is new is embedded first.

    Raises:
        OllamaMCPError: The model cannot embed the query or any passage, was replaced, or the host fails.
    """
    digest = "" if parse_name(model.name).is_cloud else (await call.hosts.installed_model(model.name)).digest
    # The space of the store for the model's vectors: by digest, since a name may get another model; a cloud model has
    # none here.
    space = f"{digest or parse_name(model.name).key} normalised"
    embedder = Embedder(call, model.name, space, ModelWatch(call, model.name, digest, _REPLACED))
    cache_key = await asyncio.to_thread(_cache_key, corpus, space)
    vector = await embedder.embed_query(model.prefixes.query + query.strip())
    index = await _index(call, embedder, corpus, cache_key, len(vector) // BYTES_PER_NUMBER)
    # Where all passages were stored before, the query's vector alone is new.
    await embedder.keep()
    found = await asyncio.to_thread(nearest, index, vector, corpus, count)
    return Nearest(found, embedder.embedded, _left_out_notes(corpus, index, model.name))


def _check_model(model: str, card: ModelCard) -> None:
    """Refuse a chat model.

    Servers before v0.30 embed with chat models too, but a search with such vectors finds next to nothing.
    """
    capabilities = capabilities_of(card)
    if "completion" in capabilities and "embedding" not in capabilities:
        raise Unsupported(
            f"{model} is not an embedding model; it has: {', '.join(capabilities)}.",
            model=model,
            detail="does not support embeddings",
        )


def _context_length(call: CallContext, card: ModelCard) -> int:
    """The context in tokens: the model's own, or less if the model's options or the settings say so."""
    limits: list[Any] = [
        card.context_length or DEFAULT_CONTEXT_LENGTH,
        {**default_options(card), **call.settings.defaults.options}.get("num_ctx"),
    ]
    return min(number for number in limits if isinstance(number, int) and number > 0)


def _cache_key(corpus: Corpus, space: str) -> bytes:
    check_numpy(len(corpus.places))
    return corpus.cache_key(space)


async def _index(
    call: CallContext, embedder: Embedder, corpus: Corpus, cache_key: bytes, dimensions: int
) -> VectorIndex:
    cache = _caches.setdefault(call.store, IndexCache(CACHE_BYTES))
    index = cache.get(cache_key)
    if index is not None:
        # This corpus is new; its passages are halved in the same order, or the index would not match it.
        await corpus.load(index.halved)
        await asyncio.to_thread(corpus.halve, index.halved)
        return index
    index = VectorIndex(dimensions)
    await embedder.embed_corpus(corpus, index)
    cache.put(cache_key, index)
    return index


def _left_out_notes(corpus: Corpus, index: VectorIndex, model: str) -> list[str]:
    """A note on the passages that could not be searched, by their places: the first few, and how many more."""
    places = sorted(place for key in index.left_out for place in corpus.places[key])
    if not places:
        return []
    named = ", ".join(map(str, places[:_MAX_NAMED]))
    more = f" and {len(places) - _MAX_NAMED:,} more" if len(places) > _MAX_NAMED else ""
    return [
        f"Not searched by meaning, since {model} computed no usable vector (NaN or the like) for it: {named}{more}."
    ]
