"""Regular expressions as Ollama's grammars take them.

Ollama turns a pattern into a grammar of the JSON text itself, and knows only a part of the syntax: what it does not
know it refuses, or takes for something else; a `.` lets a quote mark through, which ends the string. So a pattern is
written anew, with what the grammar has: literals, classes, groups, alternatives and counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# A grammar with more repetitions than this is refused by Ollama.
MAX_REPEATS = 2_000

_Ranges = list[tuple[int, int]]
# What can't stand in a JSON string as it is: control characters, the quote mark, the backslash.
_FORBIDDEN: _Ranges = [(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x7F)]
_LAST = 0x10FFFF
_CLASSES: dict[str, _Ranges] = {
    "d": [(0x30, 0x39)],
    "w": [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)],
    "s": [(0x20, 0x20)],
}
_COUNT = re.compile(r"\{(\d{1,5})(,(\d{1,5})?)?\}")


class _Unknown(ValueError):
    """A grammar has no such syntax."""


def grammar_pattern(pattern: str) -> str | None:
    """The pattern, anchored at both ends, in the syntax that grammars have; None where they have none for it."""
    try:
        return _Translation(pattern).run()
    except (_Unknown, IndexError):
        return None


class _Translation:
    def __init__(self, pattern: str) -> None:
        self.starts = pattern.startswith("^")
        self.ends = pattern.endswith("$") and not pattern.endswith("\\$")
        self.text = pattern[self.starts : len(pattern) - self.ends]
        self.at = 0
        self.has_alternatives = False

    def run(self) -> str:
        body = self._alternatives(depth=0)
        if self.has_alternatives and (self.starts or self.ends):
            # "^a|b$" anchors each side by itself.
            raise _Unknown
        anything = _as_class(_FORBIDDEN, negated=True) + "*"
        before, after = "" if self.starts else anything, "" if self.ends else anything
        return f"^{before}({body}){after}$"

    def _alternatives(self, depth: int) -> str:
        parts = [self._sequence(depth)]
        while self.at < len(self.text) and self.text[self.at] == "|":
            self.has_alternatives |= depth == 0
            self.at += 1
            parts.append(self._sequence(depth))
        return "|".join(parts)

    def _sequence(self, depth: int) -> str:
        parts: list[str] = []
        while self.at < len(self.text) and self.text[self.at] != "|":
            if self.text[self.at] == ")":
                if depth == 0:
                    raise _Unknown
                break
            parts.append(self._atom(depth) + self._quantifier())
        if not parts:
            raise _Unknown
        return "".join(parts)

    def _atom(self, depth: int) -> str:
        sign = self._next()
        if sign == "(":
            return self._group(depth)
        if sign == "[":
            return self._class()
        if sign == ".":
            return _as_class(_FORBIDDEN, negated=True)
        if sign in "^$*+?{}]":
            raise _Unknown
        if sign == "\\" and self.text[self.at] in "DWS":
            return _as_class([*_CLASSES[self._next().lower()], *_FORBIDDEN], negated=True)
        return _as_class(self._escape() if sign == "\\" else [(ord(sign), ord(sign))])

    def _group(self, depth: int) -> str:
        if self.text[self.at] == "?":
            if self.text[self.at + 1] != ":":
                raise _Unknown
            self.at += 2
        inner = self._alternatives(depth + 1)
        if self._next() != ")":
            raise _Unknown
        return f"({inner})"

    def _class(self) -> str:
        negated = self.text[self.at] == "^"
        self.at += negated
        ranges: _Ranges = []
        while (sign := self._next()) != "]" or not ranges:
            if sign in "[&~" or (sign == "]" and not ranges):
                # Nested classes and operators of sets differ between engines.
                raise _Unknown
            low = self._escape() if sign == "\\" else [(ord(sign), ord(sign))]
            if self.text[self.at] == "-" and self.text[self.at + 1] != "]":
                self.at += 1
                sign = self._next()
                high = self._escape() if sign == "\\" else [(ord(sign), ord(sign))]
                if len(low) > 1 or len(high) > 1 or low[0][0] > high[0][1]:
                    raise _Unknown
                low = [(low[0][0], high[0][1])]
            ranges += low
        return _as_class([*ranges, *_FORBIDDEN], negated=True) if negated else _as_class(ranges)

    def _escape(self) -> _Ranges:
        sign = self._next()
        if sign in _CLASSES:
            return _CLASSES[sign]
        if sign.isalnum() or not sign.isascii():
            raise _Unknown
        return [(ord(sign), ord(sign))]

    def _quantifier(self) -> str:
        if self.at >= len(self.text):
            return ""
        sign, count = self.text[self.at], _COUNT.match(self.text, self.at)
        if count is not None:
            most = int(count[3] or count[1])
            if not 0 < most <= MAX_REPEATS or int(count[1]) > most:
                raise _Unknown
            self.at = count.end()
            sign = count[0]
        elif sign in "*+?":
            self.at += 1
        else:
            return ""
        # A lazy quantifier matches the same texts.
        self.at += self.text[self.at : self.at + 1] == "?"
        return sign

    def _next(self) -> str:
        self.at += 1
        return self.text[self.at - 1]


def _as_class(ranges: _Ranges, *, negated: bool = False) -> str:
    """A class of characters, without those that can't stand in a JSON string."""
    kept = list(ranges if negated else _without_forbidden(ranges))
    if not kept:
        raise _Unknown
    if not negated and len(kept) == 1 and kept[0][0] == kept[0][1] and chr(kept[0][0]).isalnum() and kept[0][0] < 128:
        return chr(kept[0][0])
    members = "".join(_escaped(low) if low == high else f"{_escaped(low)}-{_escaped(high)}" for low, high in kept)
    return f"[{'^' * negated}{members}]"


def _without_forbidden(ranges: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    for low, high in ranges:
        for first, last in [*_FORBIDDEN, (_LAST + 1, _LAST + 1)]:
            if low < first and low <= high:
                yield low, min(high, first - 1)
            low = max(low, last + 1) if high >= first else low
            if high < first:
                break


def _escaped(code: int) -> str:
    if code < 0x80:
        return chr(code) if chr(code).isalnum() else f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"
