"""JSON Schema as callers give it for `format`: checked before use, then the model's answer against it.

Hostile schemas stall or crash validators (exponential `$ref` graphs, deep nesting, back-tracking patterns) and some
fetch remote references. So the schema is measured first, references stay inside it, and patterns run on a linear-time
engine. The same bounds protect Ollama, which turns the schema into a grammar.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from ollama_mcp.errors import InvalidArgument

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_NODES = 2_000
MAX_EXPANDED = 10_000
MAX_PATTERN = 512
MAX_COUNT = 10_000

_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_MAPS = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
_DATA = frozenset(("enum", "const", "default", "examples", "required"))
_NEXT = (
    "Give a JSON Schema such as {'type': 'object', 'properties': {'name': {'type': 'string'}}, 'required': ['name']}."
)

Schema = dict[str, Any]


def check_schema(schema: Schema) -> Schema:
    """The schema, safe to validate with and to send; a `$schema` that names a known draft is dropped.

    Raises:
        InvalidArgument: Names the rule that the schema breaks.
    """
    text = json.dumps(schema)
    if len(text) > MAX_BYTES:
        raise _refused(f"it has {len(text):,} bytes, at most {MAX_BYTES:,} are taken")
    if _depth(schema) > MAX_DEPTH:
        raise _refused(f"it nests deeper than {MAX_DEPTH} levels")
    schema = {key: value for key, value in schema.items() if key != "$schema"}
    nodes = list(_nodes(schema))
    if len(nodes) > MAX_NODES:
        raise _refused(f"it has {len(nodes):,} sub-schemas, at most {MAX_NODES:,} are taken")
    for node in nodes:
        _check_node(node)
    weight = _Weights(schema).of(schema, frozenset())
    if weight > MAX_EXPANDED:
        raise _refused(f"its references expand to more than {MAX_EXPANDED:,} sub-schemas")
    _build(schema)
    return schema


def mismatch(schema: Schema, value: Any) -> str:
    """Why `value` does not fit the (checked) schema, as "at /path: reason"; empty when it fits."""
    error = next(iter(_build(schema).iter_errors(value)), None)
    if error is None:
        return ""
    path = "/".join(str(part) for part in error.instance_path)
    reason = str(error.message)
    # The value stands first and may be long; what is wrong with it stands last.
    shown = reason if len(reason) <= 200 else f"{reason[:80]}…{reason[-119:]}"
    return f"at /{path}: {shown}"


def _build(schema: Schema) -> Any:
    # Imported here: the library is needed only where a schema is.
    import jsonschema_rs

    def deny(uri: str) -> Any:
        raise ValueError(f"remote reference {uri[:80]!r}")

    try:
        return jsonschema_rs.Draft202012Validator(schema, retriever=deny, pattern_options=jsonschema_rs.RegexOptions())
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise _refused(str(error).splitlines()[0][:160]) from None


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [child for item in level for child in _children(item)]
    return depth


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(cast("dict[str, Any]", value).values())
    return cast("list[Any]", value) if isinstance(value, list) else []


def _nodes(schema: Any) -> Iterator[Schema]:
    """Every sub-schema, the root first; a property that happens to be called `$ref` is none."""
    if isinstance(schema, list):
        for item in cast("list[Any]", schema):
            yield from _nodes(item)
    if not isinstance(schema, dict):
        return
    node = cast("Schema", schema)
    yield node
    for key, value in node.items():
        if key in _MAPS and isinstance(value, dict):
            for child in cast("Schema", value).values():
                yield from _nodes(child)
        elif key not in _DATA:
            yield from _nodes(value)


def _check_node(node: Schema) -> None:
    for key in ("$ref", "$dynamicRef"):
        target = node.get(key)
        if target is not None and not (isinstance(target, str) and (target == "#" or target.startswith("#/"))):
            raise _refused(f"{key} {str(target)[:80]!r} points outside; only '#/...' is taken")
    for key in ("$id", "$schema"):
        if key in node:
            raise _refused(f"{key} is not taken inside a schema")
    for key in _COUNTS:
        if isinstance(node.get(key), int) and node[key] > MAX_COUNT:
            raise _refused(f"{key} {node[key]} is over {MAX_COUNT:,}, more than a grammar bears")
    pattern = node.get("pattern")
    if isinstance(pattern, str) and len(pattern) > MAX_PATTERN:
        raise _refused(f"a pattern has {len(pattern)} characters, at most {MAX_PATTERN} are taken")


class _Weights:
    """How many sub-schemas a schema stands for with its references written out; each definition counted once."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.known: dict[str, int] = {}

    def of(self, schema: Any, open_refs: frozenset[str]) -> int:
        total = 0
        for node in _nodes(schema):
            total += 1
            ref = node.get("$ref")
            if isinstance(ref, str):
                total += self._target(ref, open_refs)
            if total > MAX_EXPANDED:
                break
        return total

    def _target(self, ref: str, open_refs: frozenset[str]) -> int:
        # A reference back to itself is recursion, which validators unroll only as deep as the value goes.
        if ref in open_refs:
            return 1
        if ref not in self.known:
            self.known[ref] = self.of(self._resolve(ref), open_refs | {ref})
        return self.known[ref]

    def _resolve(self, ref: str) -> Any:
        place: Any = self.root
        for part in ref.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            place = _step(place, key)
            if place is None:
                raise _refused(f"$ref {ref[:80]!r} points to nothing")
        # The bodies of $defs are reached through references only, so the root counts without them.
        if place is self.root:
            return {}
        return place


def _step(place: Any, key: str) -> Any:
    if isinstance(place, list):
        items = cast("list[Any]", place)
        return items[int(key)] if key.isdigit() and int(key) < len(items) else None
    return cast("Schema", place).get(key) if isinstance(place, dict) else None


def _refused(why: str) -> InvalidArgument:
    return InvalidArgument(f"format is no schema that can be used: {why}.", next_step=_NEXT)
