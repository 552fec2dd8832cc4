"""Fields of inference requests as the real server checks them: messages, tools, think, format, keep_alive, options."""

from __future__ import annotations

import json
from typing import Any, cast

from ollama_mcp.formats.durations import parse_duration
from ollama_mcp.formats.options import OPTIONS
from ollama_mcp.simulator.errors import ErrorResponse
from ollama_mcp.simulator.go_json import (
    FieldDecoder,
    Object,
    anything,
    as_list,
    as_object,
    base64_bytes,
    go_type,
    integer,
    list_of,
    mapping,
    string,
    struct,
    type_error,
)
from ollama_mcp.simulator.server_versions import Generation
from ollama_mcp.simulator.store import StoredModel

DEFAULT_CONTEXT = 4096
THINK_LEVELS = ("high", "medium", "low", "max")

_GO_OPTION_TYPES = {"number": "float32", "integer": "integer", "boolean": "boolean", "strings": "array"}
# num_ctx is compared by the context length that results from it.
_RELOADING_OPTIONS = tuple(name for name, option in OPTIONS.items() if option.reloads and name != "num_ctx")


def message_fields(generation: Generation) -> FieldDecoder:
    """A message of a chat."""
    function = struct("ToolCallFunction", {"name": string, "arguments": _arguments(generation), "index": integer})
    call = struct("ToolCall", {"id": anything, "function": function})
    return struct(
        "Message",
        {
            "role": string,
            "content": string,
            "thinking": string,
            "images": list_of(base64_bytes, "[]api.ImageData"),
            "tool_calls": list_of(call, "[]api.ToolCall"),
            "tool_name": string,
            "tool_call_id": string,
        },
    )


def _arguments(generation: Generation) -> FieldDecoder:
    def decode(value: Any, path: str) -> Object:
        if isinstance(value, dict):
            return cast("Object", value)
        # Since v0.14.0 another parser, which keeps the order of arguments, has its own error text.
        if isinstance(value, str) and generation.since(0, 14, 0):
            raise ErrorResponse(400, "Value looks like object, but can't find closing '}' symbol")
        raise type_error(value, path, "api.ToolCallFunctionArguments")

    return decode


def tool_fields(generation: Generation) -> FieldDecoder:
    """A tool of a chat, with the schema keywords that Ollama keeps."""
    property_type = struct(
        "ToolProperty", {"type": _tool_type(generation), "description": string, "enum": anything, "items": anything}
    )

    def properties(value: Any, path: str) -> Object:
        # Types are checked, but the schemas are kept whole: generated arguments need their bounds.
        for part in mapping(value, path).values():
            property_type(part, path)
        return value

    parameters = struct(
        "ToolFunctionParameters",
        {"type": anything, "required": list_of(string, "[]string"), "properties": properties, "$defs": anything},
    )
    function = struct("ToolFunction", {"name": string, "description": string, "parameters": parameters})
    return struct("Tool", {"type": string, "function": function})


def _tool_type(generation: Generation) -> FieldDecoder:
    def decode(value: Any, path: str) -> Any:
        if isinstance(value, str) or (isinstance(value, list) and generation.since(0, 6, 6)):
            return cast("Any", value)
        raise type_error(value, path, "string")

    return decode


def keep_alive(value: Any, path: str) -> float:
    """A number of seconds or a Go duration; returns seconds, negative for "forever"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ErrorResponse(400, f"Unsupported type: '{go_type(value)}'")
    if isinstance(value, str):
        # "5" is an error in Go, since it has no unit; "0" is not.
        try:
            return parse_duration(value)
        except ValueError as error:
            raise ErrorResponse(400, f"time: {error}") from None
    return float(value)


def check_think(value: Any, generation: Generation) -> bool | str | None:
    """The `think` of a request by the rules of the generation; None if it is unset or not known yet.

    Raises:
        ErrorResponse: 400, neither a boolean nor a level of that generation.
    """
    if value is None or not generation.has_thinking:
        return None
    if generation.lists_think_values:
        if isinstance(value, bool | str):
            return value
        raise ErrorResponse(400, "think must be a boolean or string")
    # "max" exists since v0.22.0.
    levels = THINK_LEVELS if generation.since(0, 22, 0) else THINK_LEVELS[:3]
    named = ", ".join(f'"{level}"' for level in levels)
    if isinstance(value, str) and value not in levels:
        raise ErrorResponse(400, f'invalid think value: "{value}" (must be {named}, true, or false)')
    if not isinstance(value, bool | str):
        raise ErrorResponse(400, f"think must be a boolean or string ({named}, true, or false)")
    return value


def check_format(value: Any) -> str | Object | None:
    """The `format` of a request: None, "json" or a schema.

    Raises:
        ErrorResponse: 500 for anything else, the status of the real server.
    """
    if value is None or value == "":
        return None
    if value == "json" or isinstance(value, dict):
        return cast("str | Object", value)
    # Go prints the raw JSON of the value, quoted once more.
    quoted = json.dumps(json.dumps(value, ensure_ascii=False), ensure_ascii=False)
    raise ErrorResponse(500, f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')


def check_stop(value: Any) -> list[str]:
    """The `stop` option as a list of strings."""
    return [item for item in as_list(value) if isinstance(item, str)]


def merge_options(model: StoredModel, requested: Any, generation: Generation) -> Object:
    """The parameters of the model, overridden by the options of the request, each in its type.

    Raises:
        ErrorResponse: 500 for a wrong type; 400 for `typical_p` on the servers that reject it.
    """
    # Null means unset; unknown names are dropped, as the real server only logs a warning.
    given = {name: value for name, value in as_object(requested).items() if value is not None}
    options = {**model.parameters, **given}
    if generation.rejects_typical_p and "typical_p" in options:
        raise ErrorResponse(400, "typical_p is no longer supported")
    return {name: _typed_option(name, value) for name, value in options.items() if name in OPTIONS}


def _typed_option(name: str, value: Any) -> Any:
    kind = OPTIONS[name].type
    match kind:
        case "integer" if isinstance(value, int | float) and not isinstance(value, bool):
            # Go truncates the fraction.
            return int(value)
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        case "boolean" if isinstance(value, bool):
            return value
        case "strings" if isinstance(value, list):
            if all(isinstance(item, str) for item in as_list(value)):
                return as_list(value)
            raise ErrorResponse(500, f'option "{name}" must be of an array of strings')
        case _:
            raise ErrorResponse(500, f'option "{name}" must be of type {_GO_OPTION_TYPES[kind]}')


def context_length(model: StoredModel, options: Object) -> int:
    """The context a model runs with: as requested, at least 4, at most what it was trained for."""
    trained = model.header.number("context_length") or DEFAULT_CONTEXT
    return max(4, min(int(options.get("num_ctx", DEFAULT_CONTEXT)), trained))


def load_options(options: Object, context: int, *extra: object) -> tuple[Any, ...]:
    """The values a runner is loaded with; a request with other values needs a reload."""
    return (context, *(options.get(name) for name in _RELOADING_OPTIONS), *extra)
