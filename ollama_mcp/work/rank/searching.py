"""The rows nearest to a query: with numpy, and without it as far as plain Python reaches."""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Sequence
from importlib import import_module
from operator import mul
from typing import TYPE_CHECKING

from ollama_mcp.errors import InvalidArgument

if TYPE_CHECKING:
    from ollama_mcp.work.rank.corpus import Corpus, Place
    from ollama_mcp.work.rank.vectors import Vectors

# A second of work in plain Python.
MOST_WITHOUT_NUMPY = 20_000
INSTALL = "pip install 'ollama-mcp-server[rank]'"
# How many more candidates are looked at where several rows stand at the same place.
_MORE = 8

# Gives scores and rows that are no farther than the n-th, in any order: more than n where some are equally near.
Best = Callable[[int], list[tuple[float, int]]]


def check_numpy(passages: int) -> None:
    """Refuse, before anything is embedded, more passages than can be searched here. Work for a thread.

    Raises:
        InvalidArgument: numpy is missing, and needed.
    """
    if passages > MOST_WITHOUT_NUMPY and not _has_numpy():
        raise InvalidArgument(
            f"Searching {passages:,} passages needs numpy; without it at most {MOST_WITHOUT_NUMPY:,} are searched.",
            next_step=f"The user can install it: `{INSTALL}`. Or give fewer files.",
        )


def nearest(vectors: Vectors, query: bytes, corpus: Corpus, count: int) -> list[tuple[float, Place, bytes]]:
    """Return the nearest places with their cosine, the nearest first, and the hash of the text there.

    Work for a thread. Of several rows at one place (a long text, a long line) the nearest counts; what is equally near
    comes in reading order.
    """
    best = _by_numpy(vectors, query) if _has_numpy() else _by_python(vectors, query)
    candidates = count
    while True:
        candidates = min(candidates, len(vectors.rows))
        found = _at_places(vectors, corpus, best(candidates))
        if len(found) >= count or candidates == len(vectors.rows):
            return found[:count]
        candidates *= _MORE


def _has_numpy() -> bool:
    try:
        import_module("numpy")
    except ImportError:
        return False
    return True


def _by_numpy(vectors: Vectors, query: bytes) -> Best:
    import numpy

    # Views: nothing is copied.
    matrix = numpy.frombuffer(vectors.data, numpy.dtype("<f4")).reshape(-1, vectors.dimensions)
    scores = matrix @ numpy.frombuffer(query, numpy.dtype("<f4"))

    def best(count: int) -> list[tuple[float, int]]:
        least = numpy.partition(scores, len(scores) - count)[len(scores) - count]
        rows = numpy.flatnonzero(scores >= least)
        return list(zip(scores[rows].tolist(), rows.tolist(), strict=True))

    return best


def _by_python(vectors: Vectors, query: bytes) -> Best:
    row = struct.Struct(f"<{vectors.dimensions}f")
    wanted = row.unpack(query)
    scores = [sum(map(mul, wanted, numbers)) for numbers in row.iter_unpack(vectors.data)]

    def best(count: int) -> list[tuple[float, int]]:
        least = heapq.nlargest(count, scores)[-1]
        return [(score, row) for row, score in enumerate(scores) if score >= least]

    return best


def _at_places(
    vectors: Vectors, corpus: Corpus, found: Sequence[tuple[float, int]]
) -> list[tuple[float, Place, bytes]]:
    best: dict[Place, tuple[float, bytes]] = {}
    for score, row in found:
        hashed = vectors.rows[row]
        # What cannot be told apart when it is shown is equally near.
        shown = round(score, 4)
        for place in corpus.places[hashed]:
            one = place._replace(first_line=0, last_line=0) if place.text >= 0 else place
            if one not in best or best[one][0] < shown:
                best[one] = shown, hashed
    ordered = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))
    return [(score, place, hashed) for place, (score, hashed) in ordered]
