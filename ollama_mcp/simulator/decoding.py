"""Request bodies as Go's encoding/json takes them: lax about keys and trailing bytes, strict about types.

The texts of the errors are Go's own, since clients get them to see.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any, cast

from ollama_mcp.formats.durations import parse_duration
from ollama_mcp.simulator.encoding import Object, as_list
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.generations import Generation

_KINDS: dict[type[Any], str] = {
    bool: "bool",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
_AFTER = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
}
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=\r\n]")
THINK_LEVELS = ("high", "medium", "low", "max")


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def parse(body: bytes) -> Any:
    """The first JSON value of a body; what follows it is ignored.

    Raises:
        Failure: 400 in Go's words: the body is empty, breaks off, or is no JSON.
    """
    # Go replaces invalid UTF-8 inside strings and goes on.
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        raise Failure(400, "missing request body")
    try:
        return _DECODER.raw_decode(text)[0]
    except json.JSONDecodeError as error:
        raise Failure(400, _go_syntax(error, text)) from None
    except ValueError as error:
        raise Failure(400, f"invalid character '{str(error)[0]}' looking for beginning of value") from None


def _go_syntax(error: json.JSONDecodeError, text: str) -> str:
    place = error.pos
    # Python names the place before the spaces, Go the letter after them.
    while place < len(text) and text[place] in " \t\r\n":
        place += 1
    if place >= len(text) or error.msg.startswith("Unterminated"):
        return "unexpected EOF"
    return f"invalid character '{text[place]}' {_AFTER.get(error.msg, 'looking for beginning of value')}"


Check = Callable[[Any, str], Any]


def _expects(kind: str, *types: type) -> Check:
    def check(value: Any, place: str) -> Any:
        # Not isinstance: to Python a boolean is an integer, to Go it is not.
        if type(value) in types:
            return value
        raise _cannot(value, place, kind)

    return check


def _cannot(value: Any, place: str, kind: str) -> Failure:
    found = _KINDS.get(type(cast("object", value)), "value")
    return Failure(400, f"json: cannot unmarshal {found} into Go struct field {place} of type {kind}")


string = _expects("string", str)
boolean = _expects("bool", bool)
integer = _expects("int", int)
mapping = _expects("map[string]interface {}", dict)


def anything(value: Any, place: str) -> Any:
    """Takes every value."""
    return value


def list_of(element: Check, kind: str) -> Check:
    """Takes an array whose elements `element` takes; null elements stay null."""

    def check(value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            raise _cannot(value, place, kind)
        return [item if item is None else element(item, place) for item in cast("list[Any]", value)]

    return check


def image(value: Any, place: str) -> bytes:
    """Takes standard base64; the decoded bytes."""
    if not isinstance(value, str):
        raise _cannot(value, place, "[]uint8")
    if bad := _NOT_BASE64.search(value):
        raise Failure(400, f"illegal base64 data at input byte {bad.start()}")
    try:
        return base64.b64decode(re.sub(r"[\r\n]", "", value), validate=True)
    except binascii.Error:
        raise Failure(400, f"illegal base64 data at input byte {len(value) - len(value) % 4}") from None


def keep_alive(value: Any, place: str) -> float:
    """Takes seconds as a number or Go's notation; seconds, negative for ever."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Failure(400, f"Unsupported type: '{_KINDS.get(type(cast('object', value)), 'value')}'")
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError as error:
            raise Failure(400, f"time: {error}") from None
    return float(value)


def struct(name: str, fields: dict[str, Check]) -> Check:
    """Takes an object with the given fields, keys in any case; unknown keys and nulls are dropped."""

    def check(value: Any, place: str) -> Object:
        if not isinstance(value, dict):
            raise _cannot(value, place, name) if place else _cannot_root(value, name)
        found: Object = {}
        for key, item in cast("Object", value).items():
            # Go matches keys without case, an exact match first.
            known = key if key in fields else key.lower()
            if known in fields and item is not None:
                found[known] = fields[known](item, f"{place or name}.{known}")
        return found

    return check


def _cannot_root(value: Any, name: str) -> Failure:
    found = _KINDS.get(type(cast("object", value)), "value")
    return Failure(400, f"json: cannot unmarshal {found} into Go value of type api.{name}")


def check_think(value: Any, generation: Generation) -> bool | str | None:
    """The `think` of a request by the rules of the generation; None where it is unset or not known yet.

    Raises:
        Failure: 400, neither a boolean nor a level of that generation.
    """
    if value is None or not generation.has_thinking:
        return None
    if generation.describes_thinking:
        if isinstance(value, bool | str):
            return value
        raise Failure(400, "think must be a boolean or string")
    levels = THINK_LEVELS if generation.since(0, 22, 0) else THINK_LEVELS[:3]
    named = ", ".join(f'"{level}"' for level in levels)
    if isinstance(value, str) and value not in levels:
        raise Failure(400, f'invalid think value: "{value}" (must be {named}, true, or false)')
    if not isinstance(value, bool | str):
        raise Failure(400, f"think must be a boolean or string ({named}, true, or false)")
    return value


def _arguments(generation: Generation) -> Check:
    def check(value: Any, place: str) -> Object:
        if isinstance(value, dict):
            return cast("Object", value)
        # The parser that keeps the order of arguments has words of its own.
        if isinstance(value, str) and generation.since(0, 14, 0):
            raise Failure(400, "Value looks like object, but can't find closing '}' symbol")
        raise _cannot(value, place, "api.ToolCallFunctionArguments")

    return check


def _tool_type(generation: Generation) -> Check:
    def check(value: Any, place: str) -> Any:
        if isinstance(value, str) or (isinstance(value, list) and generation.since(0, 6, 6)):
            return cast("Any", value)
        raise _cannot(value, place, "string")

    return check


def message_fields(generation: Generation) -> Check:
    """Takes a message of a chat."""
    function = struct("ToolCallFunction", {"name": string, "arguments": _arguments(generation), "index": integer})
    call = struct("ToolCall", {"id": anything, "function": function})
    return struct(
        "Message",
        {
            "role": string,
            "content": string,
            "thinking": string,
            "images": list_of(image, "[]api.ImageData"),
            "tool_calls": list_of(call, "[]api.ToolCall"),
            "tool_name": string,
            "tool_call_id": string,
        },
    )


def tool_fields(generation: Generation) -> Check:
    """Takes a tool of a chat; only the schema keywords that Ollama keeps."""
    shape = struct(
        "ToolProperty", {"type": _tool_type(generation), "description": string, "enum": anything, "items": anything}
    )

    def properties(value: Any, place: str) -> Object:
        # The nested shapes are checked for their types and kept whole: the simulator's tools need their bounds.
        for part in mapping(value, place).values():
            shape(part, place)
        return value

    parameters = struct(
        "ToolFunctionParameters",
        {"type": anything, "required": list_of(string, "[]string"), "properties": properties, "$defs": anything},
    )
    function = struct("ToolFunction", {"name": string, "description": string, "parameters": parameters})
    return struct("Tool", {"type": string, "function": function})


def check_format(value: Any) -> str | Object | None:
    """The `format` of a request: None, "json" or a schema.

    Raises:
        Failure: 500 for anything else, as the real server has it.
    """
    if value is None or value == "":
        return None
    if value == "json" or isinstance(value, dict):
        return cast("str | Object", value)
    # Go prints the raw JSON of the value, quoted once more.
    quoted = json.dumps(json.dumps(value, ensure_ascii=False), ensure_ascii=False)
    raise Failure(500, f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')


def check_stop(value: Any) -> list[str]:
    """The `stop` option as a list of texts."""
    return [item for item in as_list(value) if isinstance(item, str)]
