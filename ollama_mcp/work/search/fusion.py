"""Several orders of places made one: by reciprocal rank (Cormack and others, 2009)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ollama_mcp.work.search.corpus import Corpus, Place

WORDS, MEANING = "words", "meaning"
# How little the first place counts beside those that follow it. The paper takes 60; with 20 what either search is sure
# of counts more, and more is found (`bench/search.py`).
_FLATNESS = 20


class Found(NamedTuple):
    """A place that was found.

    Attributes:
        score: The higher the better; what it measures depends on the search.
        place: Where it is.
        key: The key of the passage there.
        by: What found it, such as "words" or "words, meaning".
        copies: How many more places hold nearly the same text.
    """

    score: float
    place: Place
    key: bytes
    by: str
    copies: int = 0


def best_places(corpus: Corpus, scored: Iterable[tuple[float, bytes]], by: str) -> list[Found]:
    """Return the places of passages, the best first; equally good places come in reading order.

    Of several passages at one place (of a long text or line) the best counts.
    """
    best: dict[Place, tuple[float, bytes]] = {}
    for score, key in scored:
        # As it is shown: places whose scores look equal come in reading order, with numpy and without it.
        rounded = round(score, 4)
        for place in corpus.places[key]:
            # A text of the call is one place, whatever its length; a file is not.
            merged = place._replace(first_line=0, last_line=0) if place.text_index >= 0 else place
            if merged not in best or best[merged][0] < rounded:
                best[merged] = rounded, key
    ordered = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))
    return [Found(score, place, key, by) for place, (score, key) in ordered]


def fuse(lists: Sequence[Sequence[Found]], weights: Mapping[str, float]) -> list[Found]:
    """Merge lists of places into one, the best first.

    Args:
        lists: Each the best first; equal scores have equal rank.
        weights: How much each list counts, by what found it; 1 where it is not named.

    Returns:
        The places with scores up to 1, which a place has that is first in every list.
    """
    scores: dict[Place, float] = {}
    members: dict[Place, list[Found]] = {}
    best = 0.0
    for found in lists:
        weight = weights.get(found[0].by, 1.0) if found else 0.0
        best += weight / (_FLATNESS + 1)
        rank, last = 0, None
        for number, member in enumerate(found, start=1):
            if member.score != last:
                rank, last = number, member.score
            scores[member.place] = scores.get(member.place, 0.0) + weight / (_FLATNESS + rank)
            members.setdefault(member.place, []).append(member)
    merged = [
        Found(round(scores[place] / best, 4), place, same[0].key, ", ".join(one.by for one in same))
        for place, same in members.items()
    ]
    return sorted(merged, key=lambda one: (-one.score, one.place))
