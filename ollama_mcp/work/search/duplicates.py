"""Places with nearly the same text made one: the best stays, and says how many there are besides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ollama_mcp.work.search.corpus import Corpus
    from ollama_mcp.work.search.fusion import Found

_WORD = re.compile(r"\w+")
# The share of pairs of neighbouring words that two texts have in common (Jaccard), from which on they are the same.
_SAME = 0.85
# Of fewer words one makes a difference.
_MIN_WORDS = 12


def fold(found: Sequence[Found], corpus: Corpus, count: int) -> list[Found]:
    """Return the first `count` distinct places, each with the number of its near-duplicates in `copies`.

    The texts of a call are never folded: the caller asks about each.
    """
    kept: list[Found] = []
    shingles: list[tuple[int, frozenset[int]]] = []
    copies: dict[int, int] = {}
    for one in found:
        if one.place.text_index >= 0:
            if len(kept) < count:
                kept.append(one)
            continue
        own = _shingles(corpus.texts[one.key])
        original = next((at for at, known in shingles if _alike(own, known)), None)
        if original is not None:
            copies[original] = copies.get(original, 0) + 1
        elif len(kept) < count:
            shingles.append((len(kept), own))
            kept.append(one)
    return [one._replace(copies=copies[at]) if at in copies else one for at, one in enumerate(kept)]


def _shingles(text: str) -> frozenset[int]:
    words = _WORD.findall(text.casefold())
    if len(words) < _MIN_WORDS:
        return frozenset([hash(text.casefold())])
    return frozenset(map(hash, pairwise(words)))


def _alike(one: frozenset[int], other: frozenset[int]) -> bool:
    smaller, larger = sorted((len(one), len(other)))
    # Sizes alone tell most pairs apart.
    if smaller < _SAME * larger:
        return False
    common = len(one & other)
    return common >= _SAME * (smaller + larger - common)
