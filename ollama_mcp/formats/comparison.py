"""The form in which two texts are compared that may differ in presentation only: names on disk, quotes, labels."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# Blanks that neither `str.split` nor NFKC knows: the Hangul fillers and the empty Braille pattern.
_BLANKS = dict.fromkeys("\u115f\u1160\u3164\uffa0\u2800", " ")
_SINGLE_QUOTES = dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2035\u2039\u203a\u02bc\u0060\u00b4", "'")
_DOUBLE_QUOTES = dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb\u301d\u301e\u301f", '"')
_HYPHENS = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d", "-")
# Before NFKC, which makes a blank and an accent of U+00B4, and two of U+2033.
_FOLDED = str.maketrans(_BLANKS | _SINGLE_QUOTES | _DOUBLE_QUOTES | _HYPHENS)
# What Unicode calls default ignorable: zero-width characters, direction marks, variation selectors, tags.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_LINE_END = r"[^\S\r\n]*(?:\r\n|[\r\n\u2028\u2029])\s*"
# A soft hyphen is visible at the end of a line only; elsewhere it is a format character like others.
_HYPHENATED = re.compile(rf"(?<=[^\W\d_])[-\u00ad]{_LINE_END}(?=[^\W\d_])")


def comparable(text: str) -> str:
    """The text in a form that is the same for all its presentations; case is kept.

    Compatibility forms are folded (NFKC), format characters and variation selectors dropped, blanks of every kind
    become single spaces, and hyphens, dashes and quotation marks the ASCII ones. Words hyphenated at the end of a line
    are joined.
    """
    text = _HYPHENATED.sub("", text.translate(_FOLDED))
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return " ".join(text.split())


def same_text(wanted: str, candidates: Sequence[str]) -> list[str]:
    """The candidate that is exactly the wanted text; without one, all that differ from it in presentation only."""
    if wanted in candidates:
        return [wanted]
    form = comparable(wanted)
    return [candidate for candidate in candidates if comparable(candidate) == form]
