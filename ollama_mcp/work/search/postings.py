"""Lists of words searched by BM25: sorted by word with numpy, or looked through one after the other."""

from __future__ import annotations

import heapq
import math
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from numpy import float32, int32, int64, uint8, uint32
    from numpy.typing import NDArray

    from ollama_mcp.work.search.candidates import Search

# Four bytes for a word, and one for how often it occurs.
WORD_BYTES, ENTRY_BYTES = 4, 5
# Of BM25 (Robertson and others, 1994): how soon a word that is repeated tells no more, how much a long passage counts
# less; the values that SQLite's and Lucene's have too.
_SATURATION, _LENGTH = 1.2, 0.75


class Postings(Protocol):
    """The words of a corpus.

    Attributes:
        keys: The key of each passage.
        size: The bytes that it takes.
    """

    keys: list[bytes]
    size: int

    def search(self, words: Sequence[int]) -> tuple[int, Search, dict[int, float]]:
        """Score the passages that hold any of some words, given by their hashes.

        Returns:
            How many these are, what returns the best of them, and how rare each word that was met is.
        """
        ...


class SortedLists:
    """The words of a corpus, all in one array that is sorted by word; a word is found by its place there.

    Args:
        lists: The list of each passage, as `pack_words` makes it.
        keys: The key of each passage.
    """

    def __init__(self, lists: Sequence[bytes], keys: list[bytes]) -> None:
        import numpy

        self.keys = keys
        sizes = numpy.fromiter((len(one) // ENTRY_BYTES for one in lists), numpy.int64, len(lists))
        words = numpy.frombuffer(
            b"".join(one[: len(one) // ENTRY_BYTES * WORD_BYTES] for one in lists), numpy.dtype("<u4")
        )
        counts = numpy.frombuffer(b"".join(one[len(one) // ENTRY_BYTES * WORD_BYTES :] for one in lists), numpy.uint8)
        passages = numpy.repeat(numpy.arange(len(lists), dtype=numpy.int32), sizes)
        lengths = numpy.bincount(passages, weights=counts, minlength=len(lists)).astype(numpy.float32)
        order = numpy.argsort(words, kind="stable")
        found, starts = numpy.unique(words[order], return_index=True)
        self._words: NDArray[uint32] = found
        self._starts: NDArray[int64] = numpy.append(starts, len(words))
        self._passages: NDArray[int32] = passages[order]
        self._counts: NDArray[uint8] = counts[order]
        mean = max(1.0, float(lengths.mean())) if len(lists) else 1.0
        self._damping: NDArray[float32] = _SATURATION * (1 - _LENGTH + _LENGTH * lengths / numpy.float32(mean))
        arrays = (self._words, self._starts, self._passages, self._counts, self._damping)
        self.size = sum(array.nbytes for array in arrays)

    def search(self, words: Sequence[int]) -> tuple[int, Search, dict[int, float]]:
        """See `Postings`."""
        import numpy

        scores, rarity = numpy.zeros(len(self.keys), numpy.float32), dict[int, float]()
        for word in words:
            at = int(numpy.searchsorted(self._words, numpy.uint32(word)))
            if at == len(self._words) or int(self._words[at]) != word:
                continue
            part = slice(int(self._starts[at]), int(self._starts[at + 1]))
            passages, counts = self._passages[part], self._counts[part].astype(numpy.float32)
            rarity[word] = _rarity(len(passages), len(self.keys))
            # A passage is in the part of a word once.
            scores[passages] += (
                numpy.float32(rarity[word] * (_SATURATION + 1)) * counts / (counts + self._damping[passages])
            )
        hit = numpy.flatnonzero(scores)
        hits = scores[hit]

        def search(count: int) -> list[tuple[float, int]]:
            lowest = numpy.partition(hits, len(hits) - count)[len(hits) - count]
            best = numpy.flatnonzero(hits >= lowest)
            return list(zip(hits[best].tolist(), hit[best].tolist(), strict=True))

        return len(hits), search, rarity


class ScannedLists:
    """The words of a corpus as the lists of its passages; for a Python without numpy.

    Args:
        lists: The list of each passage, as `pack_words` makes it.
        keys: The key of each passage.
    """

    def __init__(self, lists: Sequence[bytes], keys: list[bytes]) -> None:
        self.keys, self._lists = keys, lists
        lengths = [sum(one[len(one) // ENTRY_BYTES * WORD_BYTES :]) for one in lists]
        mean = max(1.0, sum(lengths) / max(1, len(lengths)))
        self._damping = [_SATURATION * (1 - _LENGTH + _LENGTH * length / mean) for length in lengths]
        self.size = sum(map(len, lists))

    def search(self, words: Sequence[int]) -> tuple[int, Search, dict[int, float]]:
        """See `Postings`."""
        scores, rarity = dict[int, float](), dict[int, float]()
        for word in words:
            counts = self._counts(struct.pack("<I", word))
            if counts:
                rarity[word] = _rarity(len(counts), len(self.keys))
            for passage, count in counts.items():
                score = rarity[word] * (_SATURATION + 1) * count / (count + self._damping[passage])
                scores[passage] = scores.get(passage, 0.0) + score

        def search(count: int) -> list[tuple[float, int]]:
            lowest = heapq.nlargest(count, scores.values())[-1]
            return [(score, passage) for passage, score in scores.items() if score >= lowest]

        return len(scores), search, rarity

    def _counts(self, word: bytes) -> dict[int, int]:
        """How often a word occurs, by passage."""
        found: dict[int, int] = {}
        for passage, one in enumerate(self._lists):
            end = len(one) // ENTRY_BYTES * WORD_BYTES
            at = one.find(word, 0, end)
            # Not across two entries.
            while at % WORD_BYTES and at >= 0:
                at = one.find(word, at + 1, end)
            if at >= 0:
                found[passage] = one[end + at // WORD_BYTES]
        return found


def _rarity(passages: int, total: int) -> float:
    return math.log(1 + (total - passages + 0.5) / (passages + 0.5))
