"""Which JSON Schemas Ollama refuses, since llama.cpp makes no grammar of them, or one that it can't read itself.

The rules and the texts are those of llama.cpp's converter (`json-schema-to-grammar.cpp`) as Ollama 0.5.7, 0.17.7 and
0.33 have it: one unknown sub-schema refuses the whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ollama_mcp.simulator.go_json import Object, as_list, as_object
from ollama_mcp.simulator.schema_instances import JSON_TYPES

# What the newest of the three takes to be a string or any value, and the others do not know.
_ENOUGH = ("$ref", "oneOf", "anyOf", "const", "enum", "properties", "items", "prefixItems", "pattern", "allOf")
_STRING_FORMATS = ("date", "time", "date-time", "uuid")
# The converter leaves it as it is, and grammars have no such escape.
_UNKNOWN_ESCAPE = re.compile(r"(?:[^\\]|^)(?:\\\\)*\\[dwsDWS]")

_TO_ESCAPE = re.compile(r'["\\\n\r]')
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength")
_MOST_COUNTED = 2_000


def refusal(schema: Object, *, native: bool) -> str:
    """Why no grammar can be made of a schema; "" for one that can be.

    Args:
        schema: The schema.
        native: Whether llama-server makes it (0.30 and later).
    """
    return next(_problems(schema, native=native), "")


def is_unreadable(node: Any, *, escapes: bool, counts: bool) -> bool:
    """Whether a grammar is made of a schema which the grammar's own parser then rejects.

    Args:
        node: The schema.
        escapes: Whether the converter escapes the literals of a grammar (not before 0.17.7).
        counts: Whether a count over 2,000 stays in the grammar and is too large for its parser (0.17.7).
    """
    schema = as_object(node)
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and _UNKNOWN_ESCAPE.search(pattern):
        return True
    if not escapes and any(_TO_ESCAPE.search(literal) for literal in _literals(schema)):
        return True
    if counts and any(isinstance(count := schema.get(name), int) and count > _MOST_COUNTED for name in _COUNTS):
        return True
    return any(is_unreadable(child, escapes=escapes, counts=counts) for child in _children(schema))


def _literals(schema: Object) -> Iterator[str]:
    yield from as_object(schema.get("properties"))
    for value in (*as_list(schema.get("enum")), schema.get("const")):
        if isinstance(value, str):
            yield value


def _problems(node: Any, *, native: bool) -> Iterator[str]:
    if not isinstance(node, dict):
        yield f"Unrecognized schema: {json.dumps(node)}"
        return
    schema = as_object(node)
    ref, kind, pattern = schema.get("$ref"), schema.get("type"), schema.get("pattern")
    if isinstance(ref, str):
        if not ref.startswith("#/"):
            yield f"Unsupported ref: {ref}"
        elif "~" in ref:
            yield f"Error resolving ref {ref}"
        return
    if isinstance(pattern, str) and not (pattern.startswith("^") and pattern.endswith("$")):
        yield "Pattern must start with '^' and end with '$'"
    if isinstance(kind, str) and kind not in JSON_TYPES:
        yield f"Unrecognized schema: {json.dumps(node)}"
    if kind is None and schema and not native and not _is_known(schema):
        yield f"Unrecognized schema: {json.dumps(node)}"
    for child in _children(schema):
        yield from _problems(child, native=native)


def _is_known(schema: Object) -> bool:
    more = schema.get("additionalProperties", True)
    return more is not True or schema.get("format") in _STRING_FORMATS or any(name in schema for name in _ENOUGH)


def _children(schema: Object) -> Iterator[Any]:
    alternatives = as_list(schema.get("oneOf")) or as_list(schema.get("anyOf"))
    if alternatives:
        yield from alternatives
        return
    yield from as_object(schema.get("properties")).values()
    if isinstance(more := schema.get("additionalProperties"), dict):
        yield more
    items = schema.get("items", schema.get("prefixItems"))
    if isinstance(items, list):
        yield from as_list(items)
    elif items is not None:
        yield items
