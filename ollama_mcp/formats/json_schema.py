"""Checks a JSON Schema that callers give as `format` before use, and a model's answer against it.

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

_COUNT_KEYWORDS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_SCHEMA_MAPS = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
# What constrains a value; a schema of titles and unknown members takes any answer.
CONSTRAINTS = frozenset(
    (
        *("type", "enum", "const", "$ref", "$dynamicRef", "anyOf", "oneOf", "allOf", "not", "if", "format", "pattern"),
        *("properties", "patternProperties", "additionalProperties", "propertyNames", "unevaluatedProperties"),
        *("required", "dependentRequired", "dependentSchemas", "dependencies"),
        *("items", "prefixItems", "additionalItems", "contains", "uniqueItems", "unevaluatedItems"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *_COUNT_KEYWORDS,
    )
)
_DATA_KEYWORDS = frozenset(("enum", "const", "default", "examples", "required"))
_NEXT_STEP = (
    "Use a JSON Schema such as {'type': 'object', 'properties': {'name': {'type': 'string'}}, 'required': ['name']}."
)

Schema = dict[str, Any]


def check_schema(schema: Schema) -> Schema:
    """The schema, safe to validate with and to send: without its root's `$schema` and `$id`, in draft 2020-12.

    Raises:
        InvalidArgument: Names the rule that the schema breaks.
    """
    text = json.dumps(schema)
    if len(text) > MAX_BYTES:
        raise _invalid_schema(f"it has {len(text):,} bytes, at most {MAX_BYTES:,} are allowed")
    if _depth(schema) > MAX_DEPTH:
        raise _invalid_schema(f"it nests deeper than {MAX_DEPTH} levels")
    # A copy, since what older drafts spell differently is spelt anew in it.
    schema = {key: value for key, value in json.loads(text).items() if key not in ("$schema", "$id")}
    if not CONSTRAINTS & set(schema):
        raise _invalid_schema("it holds no keyword that would check anything, such as type or properties")
    nodes = list(_nodes(schema))
    if len(nodes) > MAX_NODES:
        raise _invalid_schema(f"it has {len(nodes):,} sub-schemas, at most {MAX_NODES:,} are allowed")
    for node in nodes:
        _modernise(node)
        _check_node(node)
    expanded = _ExpandedSize(schema).count(schema, frozenset())
    if expanded > MAX_EXPANDED:
        raise _invalid_schema(f"its references expand to more than {MAX_EXPANDED:,} sub-schemas")
    _build_validator(schema)
    return schema


def find_mismatch(schema: Schema, value: Any) -> str:
    """Why `value` does not match the (checked) schema, as "at /path: reason"; empty when it does."""
    error = next(iter(_build_validator(schema).iter_errors(value)), None)
    if error is None:
        return ""
    path = "/".join(str(part) for part in error.instance_path)
    reason = str(error.message)
    # The message begins with the value, which may be long, and ends with what is wrong with it.
    shown = reason if len(reason) <= 200 else f"{reason[:80]}…{reason[-119:]}"
    return f"at /{path}: {shown}"


def _build_validator(schema: Schema) -> Any:
    # Imported here, since only calls with a schema need the library.
    import jsonschema_rs

    # References stay inside the schema: nothing is fetched.
    def deny(uri: str) -> Any:
        raise ValueError(f"remote reference {uri[:80]!r}")

    try:
        # RegexOptions selects the linear-time engine, which cannot backtrack.
        return jsonschema_rs.Draft202012Validator(
            schema, retriever=deny, pattern_options=jsonschema_rs.RegexOptions(), validate_formats=True
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise _invalid_schema(str(error).splitlines()[0][:160]) from None


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
    """Every sub-schema, the root first; a property that happens to be named `$ref` is not one."""
    if isinstance(schema, list):
        for item in cast("list[Any]", schema):
            yield from _nodes(item)
    if not isinstance(schema, dict):
        return
    node = cast("Schema", schema)
    yield node
    for key, value in node.items():
        if key in _SCHEMA_MAPS and isinstance(value, dict):
            for child in cast("Schema", value).values():
                yield from _nodes(child)
        elif key not in _DATA_KEYWORDS:
            yield from _nodes(value)


def _modernise(node: Schema) -> None:
    """Spell anew what drafts 4 to 7 spelt differently: Ollama takes either, the validator only the new."""
    items = node.get("items")
    if isinstance(items, list) and "prefixItems" not in node:
        node["prefixItems"] = items
        del node["items"]
        if "additionalItems" in node:
            node["items"] = node.pop("additionalItems")
    for inclusive, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(node.get(exclusive), bool) and node.pop(exclusive) and inclusive in node:
            node[exclusive] = node.pop(inclusive)
    dependencies = node.get("dependencies")
    if isinstance(dependencies, dict):
        for name, needed in cast("Schema", node.pop("dependencies")).items():
            keyword = "dependentRequired" if isinstance(needed, list) else "dependentSchemas"
            node.setdefault(keyword, {})[name] = needed


def _check_node(node: Schema) -> None:
    for key in ("$ref", "$dynamicRef"):
        target = node.get(key)
        if target is not None and not (isinstance(target, str) and (target == "#" or target.startswith("#/"))):
            raise _invalid_schema(f"{key} {str(target)[:80]!r} points outside the schema; only '#/...' is allowed")
    for key in ("$id", "$schema"):
        if key in node:
            raise _invalid_schema(f"{key} is not allowed inside a schema")
    for key in _COUNT_KEYWORDS:
        if isinstance(node.get(key), int) and node[key] > MAX_COUNT:
            raise _invalid_schema(f"{key} {node[key]} is over {MAX_COUNT:,}, more than a grammar can hold")
    pattern = node.get("pattern")
    if isinstance(pattern, str) and len(pattern) > MAX_PATTERN:
        raise _invalid_schema(f"a pattern has {len(pattern)} characters, at most {MAX_PATTERN} are allowed")


class _ExpandedSize:
    """Counts the sub-schemas of a schema with its references expanded; the count of each definition is kept."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.known: dict[str, int] = {}

    def count(self, schema: Any, open_refs: frozenset[str]) -> int:
        total = 0
        for node in _nodes(schema):
            total += 1
            ref = node.get("$ref")
            if isinstance(ref, str):
                total += self._count_target(ref, open_refs)
            if total > MAX_EXPANDED:
                break
        return total

    def _count_target(self, ref: str, open_refs: frozenset[str]) -> int:
        # Recursive references are unrolled by validators only as deep as the value goes.
        if ref in open_refs:
            return 1
        if ref not in self.known:
            self.known[ref] = self.count(self._resolve(ref), open_refs | {ref})
        return self.known[ref]

    def _resolve(self, ref: str) -> Any:
        node: Any = self.root
        for part in ref.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            node = _child(node, key)
            if node is None:
                raise _invalid_schema(f"$ref {ref[:80]!r} points to nothing")
        # A reference to the root is always recursion, since the count began there.
        if node is self.root:
            return {}
        return node


def _child(node: Any, key: str) -> Any:
    if isinstance(node, list):
        items = cast("list[Any]", node)
        return items[int(key)] if key.isdigit() and int(key) < len(items) else None
    return cast("Schema", node).get(key) if isinstance(node, dict) else None


def _invalid_schema(reason: str) -> InvalidArgument:
    return InvalidArgument(f"format is not a usable JSON Schema: {reason}.", next_step=_NEXT_STEP)
