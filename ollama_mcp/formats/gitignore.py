"""The patterns of a .gitignore file (gitignore(5)), matched against paths below its folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import translate

_MAX_RULES = 2_000
_ANY_DEPTH = "**"
# A blank at the end counts only behind a backslash.
_TRAILING_BLANKS = re.compile(r"(?<!\\)[ \t\r]+$")


@dataclass(frozen=True, slots=True)
class _Rule:
    """One line.

    Args:
        parts: A matcher for each part of the path; None stands for `**`.
        is_negated: Whether it takes back what lines above it ignore.
        folders_only: Whether it is about folders only.
    """

    parts: tuple[Callable[[str], object] | None, ...]
    is_negated: bool
    folders_only: bool

    def matches(self, names: Sequence[str], *, is_folder: bool) -> bool:
        """Return whether it is about the path of these names."""
        if self.folders_only and not is_folder:
            return False
        # The parts of the rule that the next name may match: as in a search, so that `**` costs no backtracking.
        states = self._closure({0})
        for name in names:
            matching = {
                state
                for state in states
                if state < len(self.parts) and ((part := self.parts[state]) is None or part(name))
            }
            states = self._closure({state if self.parts[state] is None else state + 1 for state in matching})
        # `a/**` is what lies below `a`, and that state stays at its last part.
        return len(self.parts) in states or (
            self.parts[-1] is None and len(self.parts) - 1 in states and len(names) > 1
        )

    def _closure(self, states: set[int]) -> set[int]:
        last = len(self.parts) - 1
        return states | {state + 1 for state in states if state < last and self.parts[state] is None}


class GitIgnore:
    """The rules of one file; those below the first 2,000 are not read.

    Args:
        text: Its content.
    """

    def __init__(self, text: str) -> None:
        parsed = [rule for line in text.splitlines()[:_MAX_RULES] if (rule := _parse(line))]
        self._rules = [rule for rule, _ in reversed(parsed)]
        lasts = {last for _, last in parsed}
        # Most names match no rule at all: one expression of the last parts tells. What ends in `**` is about any name.
        names = "|".join(map(translate, sorted(lasts))) or r"(?!)"
        self._may_match = re.compile("" if _ANY_DEPTH in lasts else names).match

    def ignores(self, names: Sequence[str], *, is_folder: bool) -> bool | None:
        """Return whether a path is ignored; None where no rule is about it.

        Args:
            names: The names of the path below the folder of the file.
            is_folder: Whether it is a folder.
        """
        if not self._may_match(names[-1]):
            return None
        for rule in self._rules:
            if rule.matches(names, is_folder=is_folder):
                return not rule.is_negated
        return None


def _parse(line: str) -> tuple[_Rule, str] | None:
    """A line as a rule, with its last part; None for comments and what can match nothing."""
    line = _TRAILING_BLANKS.sub("", line)
    if not line or line.startswith("#"):
        return None
    is_negated = line.startswith("!")
    pattern = line.removeprefix("!")
    folders_only = pattern.endswith("/")
    pattern = pattern.rstrip("/")
    # A slash that is not at the end ties the pattern to the file's own folder.
    is_anchored = "/" in pattern
    parts = [_as_fnmatch(part) for part in pattern.split("/") if part]
    if not parts:
        return None
    if not is_anchored:
        parts.insert(0, _ANY_DEPTH)
    kept = [
        part for number, part in enumerate(parts) if part != _ANY_DEPTH or parts[number - 1 : number] != [_ANY_DEPTH]
    ]
    matchers = tuple(None if part == _ANY_DEPTH else re.compile(translate(part)).match for part in kept)
    return _Rule(matchers, is_negated, folders_only), kept[-1]


def _as_fnmatch(part: str) -> str:
    """A part in the syntax of `fnmatch`, whose negated sets begin with "!" and which has no escapes."""
    return re.sub(r"\\(.)", lambda found: f"[{found[1]}]" if found[1] in "*?[" else found[1], part).replace("[^", "[!")
