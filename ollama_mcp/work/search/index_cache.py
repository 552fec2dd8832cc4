"""Indexes of the last corpora in memory, of vectors or words, so that the next query on them needs no store."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

# Queries over a few texts of their own each would fill the memory by what an index costs beside its numbers.
MAX_INDEXES = 64


class _Sized(Protocol):
    @property
    def size(self) -> int: ...


T = TypeVar("T", bound=_Sized)


class IndexCache(Generic[T]):
    """The indexes of the last corpora.

    They are found by a hash of all passages: a client that has not read the same texts finds nothing.

    Args:
        max_bytes: Limit for all of them together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._indexes: OrderedDict[bytes, T] = OrderedDict()

    def __contains__(self, cache_key: bytes) -> bool:
        return cache_key in self._indexes

    def get(self, cache_key: bytes) -> T | None:
        """Return the index of a corpus, or None."""
        index = self._indexes.get(cache_key)
        if index is not None:
            self._indexes.move_to_end(cache_key)
        return index

    def put(self, cache_key: bytes, index: T) -> None:
        """Keep the index of a corpus, and evict the least recently used ones."""
        self._indexes[cache_key] = index
        while (
            len(self._indexes) > MAX_INDEXES or sum(cached.size for cached in self._indexes.values()) > self._max_bytes
        ):
            self._indexes.popitem(last=False)
