"""Vectors in memory: the last corpora stay, within their bytes; the store's pages are all asked for."""

from __future__ import annotations

import struct

import pytest

from ollama_mcp.errors import BadAnswer
from ollama_mcp.store import Store
from ollama_mcp.work.search.corpus import Corpus
from ollama_mcp.work.search.index_cache import MAX_INDEXES, IndexCache
from ollama_mcp.work.search.vector_index import VectorIndex, load_stored


def vectors(size: int) -> VectorIndex:
    return VectorIndex(2, data=bytearray(size))


def corpus_of(count: int) -> Corpus:
    corpus = Corpus("", context_length=512, max_passages=count)
    corpus.add([], [f"text {number}" for number in range(count)])
    return corpus


def test_the_least_recently_used_corpora_are_evicted_first() -> None:
    cache: IndexCache[VectorIndex] = IndexCache(100)
    cache.put(b"one", vectors(40))
    cache.put(b"two", vectors(40))
    assert cache.get(b"one") is not None
    cache.put(b"three", vectors(40))
    assert cache.get(b"two") is None
    assert cache.get(b"one") is not None and cache.get(b"three") is not None
    cache.put(b"huge", vectors(101))
    assert cache.get(b"huge") is None


def test_the_key_is_that_of_the_passages_in_their_order_and_of_the_model() -> None:
    corpus = corpus_of(3)
    assert corpus.cache_key("model") == corpus_of(3).cache_key("model")
    assert len({corpus.cache_key("model"), corpus.cache_key("other"), corpus_of(2).cache_key("model")}) == 3


async def test_more_than_a_page_of_vectors_comes_out_of_the_store() -> None:
    store, corpus = Store(None), corpus_of(9_000)
    numbers = {hashed: struct.pack("<2f", place, 0.5) for place, hashed in enumerate(corpus.texts)}
    known = list(numbers.items())[:8_990]
    await store.embeddings.put("space", known)
    into = VectorIndex(2)
    missing = await load_stored(store.embeddings, "space", corpus, list(corpus.texts), into)
    await store.aclose()
    assert missing == list(corpus.texts)[8_990:]
    assert (into.rows, bytes(into.data)) == ([hashed for hashed, _ in known], b"".join(one for _, one in known))


async def test_stored_vectors_of_another_length_are_dropped_and_new_ones_refused() -> None:
    store, corpus = Store(None), corpus_of(2)
    one, other = corpus.texts
    await store.embeddings.put("space", [(one, bytes(12)), (other, bytes(8))])
    into = VectorIndex(2)
    assert await load_stored(store.embeddings, "space", corpus, [one, other], into) == [one]
    assert await store.embeddings.get("space", [one, other]) == {other: bytes(8)}
    await store.aclose()
    with pytest.raises(BadAnswer, match="2 and 3 numbers"):
        into.add(one, bytes(12))


def test_small_indexes_are_bounded_by_their_number() -> None:
    cache: IndexCache[VectorIndex] = IndexCache(1_000_000)
    for number in range(MAX_INDEXES + 1):
        cache.put(bytes([number]), VectorIndex(1))
    assert cache.get(bytes([0])) is None
    assert cache.get(bytes([1])) is not None
