"""Values for arguments while a user types: prefixes first, then what is near."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from mcp.types import Completion

# The protocol's own limit of one answer.
MOST = 100
_NEAR = 0.6
_PARTS = re.compile(r"[/:._-]+")


def of(values: Sequence[str], typed: str) -> Completion:
    """The values that fit what was typed, best first, at most 100."""
    fitting = ranked(values, typed)
    return Completion(values=fitting[:MOST], total=len(fitting), has_more=len(fitting) > MOST)


def ranked(values: Sequence[str], typed: str) -> list[str]:
    """The values that begin with the text, then those with a part that does, that hold it, that resemble it."""
    wanted = typed.strip().casefold()
    tiers: list[list[str]] = [[], [], [], []]
    for value in values:
        tier = _tier(value.casefold(), wanted)
        if tier is not None:
            tiers[tier].append(value)
    return [value for tier in tiers for value in tier]


def _tier(value: str, wanted: str) -> int | None:
    if value.startswith(wanted):
        return 0
    if any(part.startswith(wanted) for part in _PARTS.split(value)):
        return 1
    if wanted in value:
        return 2
    begin = value[: len(wanted) + 1]
    return 3 if difflib.SequenceMatcher(None, begin, wanted).ratio() >= _NEAR else None
