"""The search by words: what is new is read into the index, and what holds words of the query is found."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ollama_mcp.formats.words import words_of

if TYPE_CHECKING:
    from ollama_mcp.store import Store, WordIds
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.search.corpus import Corpus

# Passages whose words are read at a time, so that the text of a large corpus is not in memory twice.
_PAGE = 2_000
# More words than that are a text, whose rarest words say what it is about.
_MAX_WORDS = 64
_MAX_CORPORA = 16

# The last corpora by their hash, as `IndexCache` keeps their vectors.
_known: WeakKeyDictionary[Store, OrderedDict[bytes, WordIds]] = WeakKeyDictionary()


async def search_words(call: CallContext, query: str, corpus: Corpus) -> list[tuple[float, bytes]] | None:
    """Find the passages of a corpus that hold words of a query.

    Returns:
        Pairs of score (BM25) and the passage's key, the best first; None where there is no index of words.
    """
    words = await asyncio.to_thread(query_words, query)
    cache_key = await asyncio.to_thread(corpus.cache_key, "words")
    cached = _known.setdefault(call.store, OrderedDict())
    # Twice, since another process may evict passages between the two steps.
    for _ in range(2):
        known = cached.pop(cache_key, None) or await _read(call, corpus)
        if known is None:
            return None
        hits = await call.store.words.search(words, known.ids, len(known.ids))
        if hits is None:
            return None
        if hits.generation == known.generation:
            cached[cache_key] = known
            while len(cached) > _MAX_CORPORA:
                cached.popitem(last=False)
            found = [(score, known.ids[identifier]) for identifier, score in hits.scores.items()]
            return await asyncio.to_thread(sorted, found, key=lambda pair: (-pair[0], pair[1]))
    return None


async def _read(call: CallContext, corpus: Corpus) -> WordIds | None:
    """Add the passages that the index does not have; return the ids of all."""
    keys = list(corpus.texts)
    known = await call.store.words.ids(keys)
    if known is None or not known.missing:
        return known
    for start in range(0, len(known.missing), _PAGE):
        page = known.missing[start : start + _PAGE]
        await call.store.words.put(await asyncio.to_thread(_rows, corpus, page))
    return await call.store.words.ids(keys)


def _rows(corpus: Corpus, keys: Sequence[bytes]) -> list[tuple[bytes, str]]:
    return [(key, " ".join(words_of(corpus.full_text(key)))) for key in keys]


def query_words(query: str) -> list[str]:
    """The words of a query that are looked for."""
    words = dict.fromkeys(words_of(query))
    # Of Chinese and Japanese the pairs say it all; single characters are for queries of one.
    longer = [word for word in words if len(word) > 1 or word.isascii()]
    return (longer or list(words))[:_MAX_WORDS]
