"""Excerpts of found passages: where the words of the query stand closest together, within a budget for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ollama_mcp.formats.words import spans_of

MAX_CHARS = 240
_MIN_CHARS = 80
# Of all excerpts of a call: about a thousand tokens.
_BUDGET = 4_000
_MAX_MATCHED = 8
# What is shown before the first word.
_LEAD = 40


class Excerpt(NamedTuple):
    """A part of a passage on one line.

    Attributes:
        text: The part, with "…" where the passage goes on.
        matched: The words of the query as they stand in it.
    """

    text: str
    matched: list[str]


def chars_for(count: int) -> int:
    """How long each of some excerpts may be, so that all together stay within the budget."""
    return max(_MIN_CHARS, min(MAX_CHARS, _BUDGET // max(1, count)))


def excerpt_of(text: str, words: Mapping[str, float], chars: int) -> Excerpt:
    """The part of a passage that holds the most of some words; else its beginning.

    Args:
        text: The passage.
        words: The words, as `words_of` gives them, with what each tells.
        chars: The most characters of the part.
    """
    spans = list(spans_of(text, words))
    start = _best_start(spans, words, chars) if spans else 0
    # From the beginning of a line or of a word, where one is near.
    start = 0 if start <= _LEAD else _boundary(text, start - _LEAD, start)
    # Twice the length, since runs of white space shrink to one space.
    end = min(len(text), start + 2 * chars)
    line = " ".join(text[start:end].split())
    lead = "…" if start else ""
    if end < len(text) or len(lead) + len(line) > chars:
        line = f"{line[: chars - 1 - len(lead)]}…"
    shown = f"{lead}{line}"
    matched = dict.fromkeys(text[first:last] for first, last, _ in spans if first >= start)
    return Excerpt(shown, [word for word in matched if word in shown][:_MAX_MATCHED])


def _best_start(spans: Sequence[tuple[int, int, str]], words: Mapping[str, float], chars: int) -> int:
    """Where the part begins whose different words tell the most; of several the first."""
    best, start, first, room = 0.0, spans[0][0], 0, chars - 2 * _LEAD
    counts: Counter[str] = Counter()
    for last, (_, end, word) in enumerate(spans):
        counts[word] += 1
        while first < last and end - spans[first][0] > room:
            counts[spans[first][2]] -= 1
            first += 1
        if (told := sum(words[word] for word, count in counts.items() if count)) > best:
            best, start = told, spans[first][0]
    return start


def _boundary(text: str, lowest: int, start: int) -> int:
    line = text.rfind("\n", lowest, start)
    if line >= 0:
        return line + 1
    space = text.find(" ", lowest, start)
    return space + 1 if space >= 0 else lowest
