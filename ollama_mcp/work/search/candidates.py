"""From scored passages to places: as many of the best as it takes for a number of different places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from ollama_mcp.work.search.fusion import Found, best_places

if TYPE_CHECKING:
    from ollama_mcp.work.search.corpus import Corpus

# By how much the number of candidates grows if several of them turn out to be at the same place.
_CANDIDATES_FACTOR = 8

# Returns score and row of the `count` best rows, in any order; more than `count` if some are equally good.
Search = Callable[[int], list[tuple[float, int]]]


def best_of(search: Search, rows: int, keys: Sequence[bytes], corpus: Corpus, count: int, by: str) -> list[Found]:
    """The best places, the best first.

    Args:
        search: Finds the best rows.
        rows: How many it can find.
        keys: The key of each row's passage.
        corpus: Where the passages are.
        count: Maximum number of places.
        by: What found them.
    """
    candidates = count
    while rows:
        candidates = min(candidates, rows)
        found = best_places(corpus, ((score, keys[row]) for score, row in search(candidates)), by)
        if len(found) >= count or candidates == rows:
            return found[:count]
        candidates *= _CANDIDATES_FACTOR
    return []


def has_numpy() -> bool:
    """Whether numpy is installed."""
    try:
        import_module("numpy")
    except ImportError:
        return False
    return True
