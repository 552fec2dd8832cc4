"""JSON with comments and trailing commas: members are set and removed in its text, and nothing else of it changes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_BLANK = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR = re.compile(r"-?\d[\d.eE+-]*|true|false|null")
_MAX_DEPTH = 100


class JsoncError(ValueError):
    """Not JSON, or two members of one name; the text says where."""


@dataclass(slots=True)
class _Object:
    start: int
    end: int = 0
    members: list[_Member] = field(default_factory=list["_Member"])
    content_end: int = 0
    """Where what stands before the closing brace ends: the last member, comma or comment."""


@dataclass(slots=True)
class _Member:
    key: str
    start: int
    value_start: int
    value_end: int
    value: Any
    inner: _Object | None
    """The value's members, where it is an object."""
    comma: int = -1
    """Where the comma after it stands; -1 for none."""


def parse(text: str) -> Any:
    """The value of the text.

    Raises:
        JsoncError: Not JSON, or an object has two members of one name.
    """
    return _Parser(text).whole()[0]


def with_member(text: str, path: list[str], value: Any) -> str:
    """The text with the member at this path set to the value; missing objects on the way are made.

    Raises:
        JsoncError: Not JSON, or something on the way is no object.
    """
    if not text.strip("\ufeff \t\r\n"):
        text += "{}\n"
    root = _root(text)
    for depth, key in enumerate(path):
        member = next((one for one in root.members if one.key == key), None)
        if member is None:
            for name in reversed(path[depth + 1 :]):
                value = {name: value}
            return _inserted(text, root, key, value)
        if depth == len(path) - 1:
            shown = _shown(value, _indent_at(text, member.start), _step(text), _newline(text))
            return text[: member.value_start] + shown + text[member.value_end :]
        if member.inner is None:
            raise JsoncError(f"{'.'.join(path[: depth + 1])} is no object")
        root = member.inner
    raise ValueError("the path is empty")


def without_member(text: str, path: list[str]) -> str:
    """The text without the member at this path, or unchanged where there is none."""
    *outer, name = path
    siblings = _root(text)
    for key in outer:
        inner = next((one.inner for one in siblings.members if one.key == key), None)
        if inner is None:
            return text
        siblings = inner
    for index, found in enumerate(siblings.members):
        if found.key == name:
            return _removed(text, siblings, index)
    return text


def _removed(text: str, siblings: _Object, index: int) -> str:
    found, before, comma = siblings.members[index], siblings.start + 1, -1
    if index:
        previous = siblings.members[index - 1]
        before, comma = max(previous.value_end, previous.comma + 1), previous.comma
    # A comment between the comma and this member stays.
    start = _end_of_content(text, before, found.start)
    end = found.value_end if found.comma < 0 else found.comma + 1
    if found.comma < 0 and comma >= 0:
        return text[:comma] + text[comma + 1 : start] + text[end:]
    closing = siblings.end - 1
    if len(siblings.members) == 1 and start == before and not text[end:closing].strip():
        end = closing
    return text[:start] + text[end:]


def _root(text: str) -> _Object:
    root = _Parser(text).whole()[1]
    if root is None:
        raise JsoncError("the file holds no object")
    return root


def _inserted(text: str, into: _Object, key: str, value: Any) -> str:
    newline, step = _newline(text), _step(text)
    outer = _indent_at(text, into.start)
    inner = _indent_at(text, into.members[-1].start) if into.members else outer
    if len(inner) <= len(outer):
        inner = outer + step
    member = f"{newline}{inner}{json.dumps(key, ensure_ascii=False)}: {_shown(value, inner, step, newline)}"
    head, tail = text[: into.content_end], text[into.content_end : into.end - 1]
    if into.members:
        last = into.members[-1]
        if last.comma < 0:
            head = head[: last.value_end] + "," + head[last.value_end :]
        else:
            member += ","
    if "\n" not in tail:
        tail = newline + outer
    return head + member + tail + text[into.end - 1 :]


def _shown(value: Any, indent: str, step: str, newline: str) -> str:
    return json.dumps(value, ensure_ascii=False, indent=step).replace("\n", newline + indent)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _step(text: str) -> str:
    found = re.search(r"\n([ \t]+)\"", text)
    return found[1] if found else "  "


def _indent_at(text: str, place: int) -> str:
    line = text[text.rfind("\n", 0, place) + 1 : place]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _end_of_content(text: str, start: int, end: int) -> int:
    """Where the last comma or comment before `end` ends; `start` where there is only blank space."""
    return start + len(text[start:end].rstrip())


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 1 if text.startswith("\ufeff") else 0

    def whole(self) -> tuple[Any, _Object | None]:
        self._skip()
        value, found = self._value(0)
        self._skip()
        if self._at < len(self._text):
            raise self._error("something follows the value")
        return value, found

    def _value(self, depth: int) -> tuple[Any, _Object | None]:
        if depth > _MAX_DEPTH:
            raise self._error(f"more than {_MAX_DEPTH} levels")
        match self._next():
            case "{":
                return self._object(depth)
            case "[":
                return self._array(depth), None
            case '"':
                return self._string(), None
            case _:
                return self._scalar(), None

    def _object(self, depth: int) -> tuple[dict[str, Any], _Object]:
        found, values = _Object(self._at), dict[str, Any]()
        self._at += 1
        found.content_end = self._at
        while self._skip_to() != "}":
            if found.members and found.members[-1].comma < 0:
                raise self._error("a comma is missing")
            start = self._at
            key = self._string()
            if key in values:
                raise self._error(f"there are two members {key!r}", start)
            self._skip()
            self._expect(":")
            self._skip()
            value_start = self._at
            value, inner = self._value(depth + 1)
            member = _Member(key, start, value_start, self._at, value, inner)
            found.members.append(member)
            values[key] = value
            self._skip()
            if self._next() == ",":
                member.comma = self._at
                self._at += 1
        found.content_end = _end_of_content(self._text, found.start + 1, self._at)
        self._at += 1
        found.end = self._at
        return values, found

    def _array(self, depth: int) -> list[Any]:
        self._at += 1
        values, is_open = list[Any](), True
        while self._skip_to() != "]":
            if not is_open:
                raise self._error("a comma is missing")
            values.append(self._value(depth + 1)[0])
            self._skip()
            is_open = self._next() == ","
            self._at += is_open
        self._at += 1
        return values

    def _string(self) -> str:
        found = _STRING.match(self._text, self._at)
        return self._loaded(found, "a text in double quotes is missing")

    def _scalar(self) -> Any:
        found = _SCALAR.match(self._text, self._at)
        return self._loaded(found, "no JSON")

    def _loaded(self, found: re.Match[str] | None, otherwise: str) -> Any:
        if found is None:
            raise self._error(otherwise)
        try:
            value = json.loads(found[0])
        except ValueError:
            raise self._error("no JSON") from None
        self._at = found.end()
        return value

    def _skip(self) -> None:
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _skip_to(self) -> str:
        self._skip()
        if self._at >= len(self._text):
            raise self._error("the text ends too early")
        return self._next()

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _expect(self, character: str) -> None:
        if self._next() != character:
            raise self._error(f"{character!r} is missing")
        self._at += 1

    def _error(self, what: str, place: int | None = None) -> JsoncError:
        place = self._at if place is None else place
        line = self._text.count("\n", 0, place) + 1
        return JsoncError(f"line {line}, column {place - self._text.rfind(chr(10), 0, place)}: {what}")
