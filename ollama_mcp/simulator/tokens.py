"""Tokens: the pieces in which a simulated model writes, and how many of them a text has."""

from __future__ import annotations

import re
from dataclasses import dataclass

Alternatives = tuple[tuple[str, float], ...]

_PIECE = re.compile(r"\s*[^\W_]+|\s*[^\w\s]|\s*_|\s+")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text, the logarithm of its probability, and the likeliest pieces in its place."""

    text: str
    logprob: float = 0.0
    alternatives: Alternatives = ()


def pieces(text: str) -> list[str]:
    """A text cut as a tokenizer would: words with the space before them, punctuation alone."""
    return _PIECE.findall(text)


def count_tokens(text: str) -> int:
    """About how many tokens a text has: one for four bytes, and never fewer than its words."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return max((size + 3) // 4, text.count(" ") + 1) if text else 0
