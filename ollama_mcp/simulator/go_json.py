"""JSON as Go's encoding/json reads and writes it, with Go's own error texts.

Go is lenient about the case of keys, unknown keys and trailing bytes, and strict about types.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from ollama_mcp.simulator.errors import ErrorResponse

Object = dict[str, Any]
FieldDecoder = Callable[[Any, str], Any]
"""Converts the value of a field; the second argument is the path of the field for error texts."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
# Go escapes these so that JSON can be embedded in HTML.
_ESCAPED = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"))
_GO_TYPES: dict[type[Any], str] = {
    bool: "bool",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
_GO_SYNTAX_ERRORS = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
}
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=\r\n]")


def encode(value: Any) -> bytes:
    """The value as one line of JSON, without a line break."""
    text = _ENCODER.encode(value)
    for plain, escaped in _ESCAPED:
        if plain in text:
            text = text.replace(plain, escaped)
    return text.encode("utf-8", "replace")


def timestamp(moment: datetime | None = None) -> str:
    """RFC 3339 in UTC with nanoseconds, as Go prints time.Time; the default is now."""
    moment = moment or datetime.now(UTC)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}001Z"


def as_object(value: Any) -> Object:
    """The value if it is a JSON object, else an empty one."""
    return cast("Object", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value if it is a JSON array, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def _reject_constant(name: str) -> Any:
    raise ValueError(name)


# Python accepts NaN and Infinity, Go does not.
_DECODER = json.JSONDecoder(parse_constant=_reject_constant)


def parse(body: bytes) -> Any:
    """The first JSON value of a body; anything after it is ignored.

    Raises:
        ErrorResponse: 400, the body is empty, truncated, or not valid JSON.
    """
    # Go replaces invalid UTF-8 inside strings and continues.
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        raise ErrorResponse(400, "missing request body")
    try:
        return _DECODER.raw_decode(text)[0]
    except json.JSONDecodeError as error:
        raise ErrorResponse(400, _syntax_error(error, text)) from None
    except ValueError as error:
        raise ErrorResponse(400, f"invalid character '{str(error)[0]}' looking for beginning of value") from None


def _syntax_error(error: json.JSONDecodeError, text: str) -> str:
    position = error.pos
    # Python reports the position before white space, Go the character after it.
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    if position >= len(text) or error.msg.startswith("Unterminated"):
        return "unexpected EOF"
    reason = _GO_SYNTAX_ERRORS.get(error.msg, "looking for beginning of value")
    return f"invalid character '{text[position]}' {reason}"


def go_type(value: Any) -> str:
    """What Go calls the type of a JSON value."""
    return _GO_TYPES.get(type(cast("object", value)), "value")


def type_error(value: Any, path: str, expected: str) -> ErrorResponse:
    """The error for a value of the wrong type in a struct field."""
    return ErrorResponse(400, f"json: cannot unmarshal {go_type(value)} into Go struct field {path} of type {expected}")


def _of_type(name: str, *types: type) -> FieldDecoder:
    def decode(value: Any, path: str) -> Any:
        # Not isinstance: in Python a boolean is an integer, in Go it is not.
        if type(value) in types:
            return value
        raise type_error(value, path, name)

    return decode


string = _of_type("string", str)
boolean = _of_type("bool", bool)
integer = _of_type("int", int)
mapping = _of_type("map[string]interface {}", dict)


def anything(value: Any, path: str) -> Any:
    """Accepts every value."""
    return value


def list_of(element: FieldDecoder, type_name: str) -> FieldDecoder:
    """An array whose elements `element` accepts; null elements stay null."""

    def decode(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise type_error(value, path, type_name)
        return [item if item is None else element(item, path) for item in cast("list[Any]", value)]

    return decode


def base64_bytes(value: Any, path: str) -> bytes:
    """Standard base64; returns the decoded bytes."""
    if not isinstance(value, str):
        raise type_error(value, path, "[]uint8")
    if invalid := _NOT_BASE64.search(value):
        raise ErrorResponse(400, f"illegal base64 data at input byte {invalid.start()}")
    try:
        return base64.b64decode(re.sub(r"[\r\n]", "", value), validate=True)
    except binascii.Error:
        # The length or padding is wrong; Go names the start of the incomplete group of four.
        raise ErrorResponse(400, f"illegal base64 data at input byte {len(value) - len(value) % 4}") from None


def struct(name: str, fields: dict[str, FieldDecoder]) -> FieldDecoder:
    """An object with the given fields, keys in any case; unknown keys and nulls are dropped."""

    def decode(value: Any, path: str) -> Object:
        if not isinstance(value, dict):
            if path:
                raise type_error(value, path, name)
            raise ErrorResponse(400, f"json: cannot unmarshal {go_type(value)} into Go value of type api.{name}")
        decoded: Object = {}
        for key, item in cast("Object", value).items():
            # Go prefers an exact match and then ignores case.
            known = key if key in fields else key.lower()
            # Go leaves a field unset for null.
            if known in fields and item is not None:
                decoded[known] = fields[known](item, f"{path or name}.{known}")
        return decoded

    return decode
