"""The search by words (BM25): the words of what is new are listed and stored, those of the query are found.

The words of a passage are kept as its vector is, as a list of their hashes with how often each occurs: no text is in
the store, nothing but what is searched counts for how rare a word is, and no word takes longer than another.
"""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary
from zlib import crc32

from ollama_mcp.formats.words import names_of, words_of, words_of_name
from ollama_mcp.work.search.candidates import best_of, has_numpy
from ollama_mcp.work.search.fusion import WORDS, Found
from ollama_mcp.work.search.index_cache import IndexCache
from ollama_mcp.work.search.postings import ENTRY_BYTES, Postings, ScannedLists, SortedLists

if TYPE_CHECKING:
    from ollama_mcp.store import Store
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.search.corpus import Corpus

# The name changes with what `words_of` gives, and with the form of a list.
SPACE = "words 1"
# Passages whose words are read at a time, so that other work has its turn in between.
_PAGE = 2_000
# More words than that are a text, whose first words say what it is about.
_MAX_WORDS = 64
_MAX_COUNT = 255
# Longer names are seldom seen again.
_MAX_CACHED = 40
_CACHE_BYTES = 128_000_000

_caches: WeakKeyDictionary[Store, IndexCache[Postings]] = WeakKeyDictionary()


class WordHits(NamedTuple):
    """What holds words of a query.

    Attributes:
        found: The places, the best first.
        rarity: The words of the query that were met, with what each tells among what was searched.
    """

    found: list[Found]
    rarity: dict[str, float]


async def search_words(call: CallContext, query: str, corpus: Corpus, count: int) -> WordHits:
    """Find the places of a corpus that hold words of a query."""
    postings = await _postings(call, corpus)
    return await asyncio.to_thread(search_lists, postings, query, corpus, count)


async def prepare_words(call: CallContext, corpus: Corpus) -> None:
    """Store the lists of passages that are new, before a search."""
    cache_key = await asyncio.to_thread(corpus.cache_key, SPACE)
    if cache_key not in _caches.setdefault(call.store, IndexCache(_CACHE_BYTES)):
        await list_words(call, corpus)


async def list_words(call: CallContext, corpus: Corpus) -> list[bytes]:
    """The lists of all passages in their order; those that are not in the store yet are made and stored."""
    keys, lists = list(corpus.places), list[bytes]()
    for start in range(0, len(keys), _PAGE):
        page = keys[start : start + _PAGE]
        found = await call.store.embeddings.get(SPACE, page)
        # A list that has no whole number of entries is broken.
        missing = [key for key in page if key not in found or len(found[key]) % ENTRY_BYTES]
        if missing:
            await corpus.load(missing)
            new = await asyncio.to_thread(_pack_all, corpus, missing)
            await call.store.embeddings.drop(SPACE, found.keys() & missing)
            await call.store.embeddings.put(SPACE, new.items())
            found |= new
        lists += [found.get(key, b"") for key in page]
    return lists


def query_words(query: str) -> list[str]:
    """The words of a query that are looked for."""
    words = dict.fromkeys(words_of(query))
    # Of Chinese and Japanese the pairs say it all; single characters are for queries of one.
    longer = [word for word in words if len(word) > 1 or word.isascii()]
    return (longer or list(words))[:_MAX_WORDS]


async def _postings(call: CallContext, corpus: Corpus) -> Postings:
    cache = _caches.setdefault(call.store, IndexCache(_CACHE_BYTES))
    cache_key = await asyncio.to_thread(corpus.cache_key, SPACE)
    postings = cache.get(cache_key)
    if postings is None:
        lists = await list_words(call, corpus)
        postings = await asyncio.to_thread(SortedLists if has_numpy() else ScannedLists, lists, list(corpus.places))
        cache.put(cache_key, postings)
    return postings


def search_lists(postings: Postings, query: str, corpus: Corpus, count: int) -> WordHits:
    """Find the places of a corpus that hold words of a query; blocking, call it in a thread."""
    hashes = {word: _hash(word) for word in query_words(query)}
    hits, search, rarity = postings.search(list(hashes.values()))
    told = {word: rarity[number] for word, number in hashes.items() if number in rarity}
    return WordHits(best_of(search, hits, postings.keys, corpus, count, WORDS), told)


def _pack_all(corpus: Corpus, keys: Iterable[bytes]) -> dict[bytes, bytes]:
    lists: dict[bytes, bytes] = {}
    for key in keys:
        # A passage may be replaced by shorter ones meanwhile.
        with suppress(KeyError):
            lists[key] = pack_words(corpus.full_text(key))
    return lists


def pack_words(text: str) -> bytes:
    """The list of a passage's words: the hashes, each four bytes, little-endian; then how often each occurs, a byte."""
    counts = Counter(
        chain.from_iterable(
            _hashes_of(name) if len(name) <= _MAX_CACHED else _hashes_of.__wrapped__(name) for name in names_of(text)
        )
    )
    return struct.pack(f"<{len(counts)}I", *counts) + bytes(min(_MAX_COUNT, count) for count in counts.values())


@lru_cache(maxsize=8_192)
def _hashes_of(name: str) -> tuple[int, ...]:
    # Most words of a text are the same few.
    return tuple(map(_hash, words_of_name(name)))


def _hash(word: str) -> int:
    # Lone surrogates are possible in JSON, and must not stop the call here.
    return crc32(word.encode("utf-8", "surrogatepass"))
