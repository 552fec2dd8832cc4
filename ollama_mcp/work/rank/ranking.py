"""A search from query to nearest places: choose the model, read the files, embed what is new, search."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import InvalidArgument, Unsupported
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.hosts.model_cards import capabilities_of, default_options
from ollama_mcp.work.choosing import choose
from ollama_mcp.work.cloud_policy import check_cloud_policy
from ollama_mcp.work.files import ReadResult, UnreadFile, read_files, read_optional_files, receipts
from ollama_mcp.work.model_watch import ModelWatch
from ollama_mcp.work.progress import counted
from ollama_mcp.work.rank.corpus import Corpus, Place
from ollama_mcp.work.rank.embedder import Embedder, prefixes_of
from ollama_mcp.work.rank.vector_index import (
    BYTES_PER_NUMBER,
    CACHE_BYTES,
    IndexCache,
    VectorIndex,
    check_numpy,
    nearest,
)

if TYPE_CHECKING:
    from ollama_mcp.api import ModelCard
    from ollama_mcp.store import Store
    from ollama_mcp.work.call_context import CallContext

EXCERPT_CHARS = 160
_MAX_RECEIPTS = 3
_REPLACED = "Vectors of two models cannot be compared. Make the same call again."
# For a model whose card names no context length: most embedding models take at least so many tokens.
_DEFAULT_CONTEXT_LENGTH = 512

# By store, so that a cache lives as long as its server, and several servers in one process share none.
_caches: WeakKeyDictionary[Store, IndexCache] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class RankedPlace:
    """A place that was found.

    Args:
        score: The cosine to the query; 1 is the same meaning.
        place: Where it is.
        excerpt: How the text there begins, on one line.
    """

    score: float
    place: Place
    excerpt: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """The outcome of a search.

    Args:
        model: The embedding model.
        places: The nearest first.
        passages: Number of passages that were searched.
        embedded: Number of those that were embedded now; the vectors of the others were stored before.
        notes: What the agent should know.
    """

    model: str
    places: list[RankedPlace]
    passages: int
    embedded: int
    notes: list[str]


async def rank(
    call: CallContext,
    query: str,
    *,
    files: Sequence[str] = (),
    texts: Sequence[str] = (),
    count: int = 10,
    model: str = "",
) -> Ranking:
    """Find the places in files and texts that are nearest to a query in meaning.

    Args:
        call: The context of the call.
        query: What to look for.
        files: Paths, globs and so on, as `read_files` takes them.
        texts: Texts, in addition to the files.
        count: Number of places; at most limits.listed.
        model: The embedding model, or "".

    Raises:
        OllamaMCPError: There is nothing to search or too much, the model cannot embed, or the host fails.
    """
    _check_arguments(query, files, texts)
    chosen = await choose(call, model, "embed")
    card = await call.hosts.card(chosen.model)
    _check_model(chosen.model, card)
    if files:
        await check_cloud_policy(call, chosen.model, "cloud_files")
    result = await _read_files(call, files, required=not texts)
    prefixes = prefixes_of(chosen.model, card)
    limits = call.settings.limits
    corpus = Corpus(prefixes.passage, context_length=_context_length(call, card), max_passages=limits.passages)
    digest = "" if parse_name(chosen.model).is_cloud else (await call.hosts.installed_model(chosen.model)).digest
    # The space of the store for the model's vectors: by digest, since a name may get another model; a cloud model has
    # none here.
    space = f"{digest or parse_name(chosen.model).key} normalised"
    watch = ModelWatch(call, chosen.model, digest, _REPLACED)
    sources = counted(len(result.documents) + len(texts), "text")
    async with call.progress.phase(f"searching {sources} with {chosen.model}"):
        cache_key = await asyncio.to_thread(_fill_corpus, corpus, result, texts, space)
        embedder = Embedder(call, chosen.model, space, watch)
        vector = await embedder.embed_query(prefixes.query + query.strip())
        index = await _index(call, embedder, corpus, cache_key, len(vector) // BYTES_PER_NUMBER)
        # Where all passages were stored before, the query's vector alone is new.
        await embedder.keep()
        found = await asyncio.to_thread(nearest, index, vector, corpus, min(count, limits.listed))
    places = [RankedPlace(score, place, _excerpt(corpus.texts[key])) for score, place, key in found]
    notes = [
        *([chosen.note] if chosen.note else []),
        *_unread_notes(result),
        *_left_out_notes(corpus, index, chosen.model),
    ]
    if count > limits.listed:
        notes.append(f"At most {limits.listed} places are listed (setting limits.listed).")
    return Ranking(chosen.model, places, corpus.passages, embedder.embedded, notes)


def _check_arguments(query: str, files: Sequence[str], texts: Sequence[str]) -> None:
    if not query.strip():
        raise InvalidArgument("The query is empty.", next_step="Say what to look for.")
    if not files and not texts:
        raise InvalidArgument("There is nothing to search.", next_step="Give files or texts.")


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


async def _read_files(call: CallContext, files: Sequence[str], *, required: bool) -> ReadResult:
    if not files:
        return ReadResult()
    read = read_files if required else read_optional_files
    async with call.progress.phase(f"reading {counted(len(files), 'file')}"):
        result = await read(call.access, files, call.settings)
    result.unread.extend(UnreadFile(path, "[invalid_argument] it is an image") for path in result.images)
    return result


def _context_length(call: CallContext, card: ModelCard) -> int:
    """The context in tokens: the model's own, or less if the model's options or the settings say so."""
    limits: list[Any] = [
        card.context_length or _DEFAULT_CONTEXT_LENGTH,
        {**default_options(card), **call.settings.defaults.options}.get("num_ctx"),
    ]
    return min(number for number in limits if isinstance(number, int) and number > 0)


def _fill_corpus(corpus: Corpus, result: ReadResult, texts: Sequence[str], space: str) -> bytes:
    corpus.add(result.documents, texts)
    check_numpy(len(corpus.texts))
    return corpus.cache_key(space)


async def _index(
    call: CallContext, embedder: Embedder, corpus: Corpus, cache_key: bytes, dimensions: int
) -> VectorIndex:
    cache = _caches.setdefault(call.store, IndexCache(CACHE_BYTES))
    index = cache.get(cache_key)
    if index is not None:
        # This corpus is new; its passages are halved in the same order, or the index would not match it.
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
    named = ", ".join(map(str, places[:_MAX_RECEIPTS]))
    more = f" and {len(places) - _MAX_RECEIPTS:,} more" if len(places) > _MAX_RECEIPTS else ""
    return [f"Not searched, since {model} computed no usable vector (NaN or the like) for it: {named}{more}."]


def _excerpt(text: str) -> str:
    # Twice the length, since runs of white space shrink to one space.
    line = " ".join(text[: 2 * EXCERPT_CHARS].split())
    return line if len(line) <= EXCERPT_CHARS else f"{line[: EXCERPT_CHARS - 1]}…"


def _unread_notes(result: ReadResult) -> list[str]:
    """Notes on files that were not read, or only in part, with the reason: the first few, and how many more."""
    lines = receipts(ReadResult(unread=result.unread[:_MAX_RECEIPTS]), estimate_tokens)
    rest = len(result.unread) - _MAX_RECEIPTS
    lines += [f"not read: {rest:,} more"] if rest > 0 else []
    partial = [f"{quoted(read.path)}: {'; '.join(read.notes)}" for read in result.documents if read.notes]
    rest = len(partial) - _MAX_RECEIPTS
    return [*lines, *partial[:_MAX_RECEIPTS], *([f"Read only in part: {rest:,} more files."] if rest > 0 else [])]
