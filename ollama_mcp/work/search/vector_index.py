"""Vectors of a corpus in memory: loaded from the store, cached between calls, and searched for the nearest passages."""

from __future__ import annotations

import asyncio
import heapq
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import TYPE_CHECKING

from ollama_mcp._command import how_to_install
from ollama_mcp.errors import BadAnswer, InvalidArgument
from ollama_mcp.work.search.candidates import Search, best_of, has_numpy
from ollama_mcp.work.search.fusion import MEANING, Found

if TYPE_CHECKING:
    from ollama_mcp.store import EmbeddingCache
    from ollama_mcp.work.search.corpus import Corpus

BYTES_PER_NUMBER = 4
CACHE_BYTES = 512_000_000
# Vectors are read from the store in pages, each copied to its place before the next: all at once would be in memory
# twice.
_PAGE = 4_096
# About a second of work in plain Python.
MAX_WITHOUT_NUMPY = 20_000


@dataclass(slots=True)
class VectorIndex:
    """Vectors of length one, stored one after another as rows of 32-bit floats, little-endian.

    Attributes:
        dimensions: Numbers of a vector.
        rows: The key of each row's passage.
        data: The numbers.
        halved: Keys of passages that the model found too long, in the order in which shorter ones replaced them.
        left_out: Keys of passages for which the model computed no usable vector.
    """

    dimensions: int
    rows: list[bytes] = field(default_factory=list[bytes])
    data: bytearray = field(default_factory=bytearray)
    halved: list[bytes] = field(default_factory=list[bytes])
    left_out: list[bytes] = field(default_factory=list[bytes])

    @property
    def size(self) -> int:
        """The bytes of its numbers."""
        return len(self.data)

    def add(self, key: bytes, vector: bytes) -> None:
        """Add a row.

        Raises:
            BadAnswer: Its length differs from that of the others.
        """
        if len(vector) != self.dimensions * BYTES_PER_NUMBER:
            count = len(vector) // BYTES_PER_NUMBER
            raise BadAnswer(
                f"Vectors of one model have {self.dimensions} and {count} numbers.",
                next_step="The model may be changing on its host; try again.",
            )
        self.rows.append(key)
        self.data += vector


async def load_stored(
    embeddings: EmbeddingCache, space: str, corpus: Corpus, keys: Sequence[bytes], into: VectorIndex
) -> list[bytes]:
    """Load the vectors that the store has; return the keys of passages without one, or with a broken one.

    A passage that a model found too long is stored with an empty vector: it is halved without asking the model again.
    """
    missing: list[bytes] = []
    waiting = list(keys)
    while waiting:
        page, waiting = waiting[:_PAGE], waiting[_PAGE:]
        found = await embeddings.get(space, page)
        size = into.dimensions * BYTES_PER_NUMBER
        if broken := [key for key, vector in found.items() if vector and len(vector) != size]:
            await embeddings.drop(space, broken)
            found = {key: vector for key, vector in found.items() if len(vector) in (0, size)}
        await corpus.load([key for key in page if not found.get(key)])
        waiting += await asyncio.to_thread(_add_page, found, page, corpus, into, missing)
    return missing


def _add_page(
    found: Mapping[bytes, bytes], page: Sequence[bytes], corpus: Corpus, into: VectorIndex, missing: list[bytes]
) -> list[bytes]:
    """Add a page of vectors to the index; return the keys of halved passages, which may be in the store too."""
    shorter: list[bytes] = []
    for key in page:
        vector = found.get(key)
        if vector is None:
            missing.append(key)
        elif vector:
            into.add(key, vector)
        else:
            into.halved.append(key)
            shorter += corpus.halve([key])
    return shorter


def check_numpy(passages: int) -> None:
    """Refuse more passages than can be searched here, before any is embedded; blocking, call it in a thread.

    Raises:
        InvalidArgument: numpy is needed and not installed.
    """
    if passages > MAX_WITHOUT_NUMPY and not has_numpy():
        raise InvalidArgument(
            f"Searching {passages:,} passages needs numpy; without it at most {MAX_WITHOUT_NUMPY:,} are searched.",
            next_step=f"{how_to_install('search')} Or give fewer files.",
        )


def nearest(index: VectorIndex, query: bytes, corpus: Corpus, count: int) -> list[Found]:
    """Return the places nearest to a query by their cosine, the nearest first; blocking, call it in a thread.

    Args:
        index: Vectors of the corpus.
        query: The vector of the query, as a row of the index.
        corpus: Where the passages are.
        count: Maximum number of places.
    """
    search = _search_with_numpy(index, query) if has_numpy() else _search_in_python(index, query)
    return best_of(search, len(index.rows), index.rows, corpus, count, MEANING)


def _search_with_numpy(index: VectorIndex, query: bytes) -> Search:
    import numpy

    # Views on the same memory: a copy of a large index would double it.
    matrix = numpy.frombuffer(index.data, numpy.dtype("<f4")).reshape(-1, index.dimensions)
    scores = matrix @ numpy.frombuffer(query, numpy.dtype("<f4"))
    # What is no number would be taken for the largest.
    scores[~numpy.isfinite(scores)] = -1.0

    def search(count: int) -> list[tuple[float, int]]:
        # A partition is linear; a sort of all scores is not.
        lowest = numpy.partition(scores, len(scores) - count)[len(scores) - count]
        rows = numpy.flatnonzero(scores >= lowest)
        return list(zip(scores[rows].tolist(), rows.tolist(), strict=True))

    return search


def _search_in_python(index: VectorIndex, query: bytes) -> Search:
    row = struct.Struct(f"<{index.dimensions}f")
    wanted = row.unpack(query)
    scores = [sum(map(mul, wanted, numbers)) for numbers in row.iter_unpack(index.data)]

    def search(count: int) -> list[tuple[float, int]]:
        lowest = heapq.nlargest(count, scores)[-1]
        return [(score, row) for row, score in enumerate(scores) if score >= lowest]

    return search
