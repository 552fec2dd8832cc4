"""JSON from outside, read so that it can be written again, and JSON within a line of text.

JSON can spell what cannot be sent on: half a surrogate pair has no bytes in UTF-8, and the NaN, Infinity and 1e400 that
Python reads have no JSON. The first becomes U+FFFD, the others null.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any, cast

from ollama_mcp.formats.escaping import is_hidden

# The largest integer that every reader of JSON keeps exact: 9 petabytes, or 104 days in nanoseconds.
MAX_COUNT = 2**53

_SURROGATE = re.compile("[\ud800-\udfff]")
# The forms of a lone surrogate: escaped, or as bytes that the json module lets pass.
_SURROGATE_MARK = re.compile(r"\\u[dD]|[" + "\ud800-\udfff" + "]")
_NOT_PRINTABLE_ASCII = re.compile(r"[^ -~]")


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _finite_only(text: str) -> float:
    number = _finite(text)
    return _refuse(text) if number is None else number


def _nothing(_: str) -> None:
    return None


def _refuse(text: str) -> float:
    raise ValueError(f"{text[:40]} is not a JSON number")


# Made once: json.loads makes a decoder for each call that has such hooks.
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_nothing)
_STRICT_DECODER = json.JSONDecoder(parse_float=_finite_only, parse_constant=_refuse)


def parse_json(text: bytes | str, *, strict: bool = False) -> Any:
    """The value of a JSON text, fit to be written again.

    Args:
        text: The text.
        strict: Whether a number that JSON cannot write again is an error; else it becomes null.

    Raises:
        ValueError: It is not JSON, or is nested deeper than Python reads.
    """
    if isinstance(text, bytes):
        text = text.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogatepass")
    try:
        value = (_STRICT_DECODER if strict else _DECODER).decode(text)
        return replace_surrogates(value) if _SURROGATE_MARK.search(text) else value
    except RecursionError:
        raise ValueError("nested too deep") from None


def replace_surrogates(value: Any) -> Any:
    """A JSON value with U+FFFD in place of lone surrogates, in its keys too."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [replace_surrogates(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {
            replace_surrogates(name): replace_surrogates(item) for name, item in cast("dict[str, Any]", value).items()
        }
    return value


def as_count(value: object) -> int | None:
    """A number of bytes, tokens or nanoseconds; None for what cannot be one: a text, a fraction, below 0, absurd."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT:
        return value
    return None


def json_line(value: Any) -> str:
    """A value as JSON on one line that shows every character: hidden ones by their escapes, which JSON has too."""
    return _NOT_PRINTABLE_ASCII.sub(_visible_in_json, json.dumps(value, ensure_ascii=False))


def _visible_in_json(match: re.Match[str]) -> str:
    character = match[0]
    return json.dumps(character)[1:-1] if is_hidden(character) else character
