"""One normaliser that makes every published JSON Schema portable between MCP hosts.

Some hosts refuse a whole tool list for one `$ref`, null branch, `const`, type list or object without properties, and
pydantic's defaults cost a third more tokens. What comes out has none of them.
"""

from __future__ import annotations

from typing import Any, cast

Schema = dict[str, Any]

_MAPS = ("properties", "patternProperties")


def portable(schema: Schema) -> Schema:
    """The same schema with references inlined and everything gone that some host trips over."""
    definitions = cast("dict[str, Schema]", schema.get("$defs", {}))
    # The root's description is a class's docstring: for readers of the code, not worth its tokens here.
    root = {key: value for key, value in schema.items() if key not in ("$defs", "description")}
    return cast("Schema", _clean(root, definitions))


def _clean(node: Any, definitions: dict[str, Schema]) -> Any:
    if isinstance(node, list):
        return [_clean(item, definitions) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    # A reference may stand beside null, and what it leads to may be either again.
    node = _inlined(_without_null(_inlined(cast("Schema", node), definitions)), definitions)
    result: Schema = {}
    for key, value in node.items():
        if key in _MAPS:
            result[key] = {name: _clean(child, definitions) for name, child in cast("Schema", value).items()}
        elif key == "const":
            result["enum"] = [value]
        elif not _is_noise(key, value):
            result[key] = _clean(value, definitions) if key not in ("enum", "default") else value
    return _flattened(result)


def _inlined(node: Schema, definitions: dict[str, Schema]) -> Schema:
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return node
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return _inlined({**definitions[reference.rsplit("/", 1)[-1]], **beside}, definitions)


def _without_null(node: Schema) -> Schema:
    branches = node.get("anyOf")
    if not isinstance(branches, list):
        return node
    kept = [branch for branch in cast("list[Schema]", branches) if branch.get("type") != "null"]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**kept[0], **rest} if len(kept) == 1 else {**rest, "anyOf": kept}


def _flattened(node: Schema) -> Schema:
    """A union inside a union becomes one flat union."""
    branches = node.get("anyOf")
    if not branches:
        return node
    flat = [inner for branch in branches for inner in branch.get("anyOf", [branch])]
    return {**node, "anyOf": flat}


def _is_noise(key: str, value: Any) -> bool:
    # A property may be called "title": its value is then a schema, and it never comes this way (see _MAPS).
    # An object is open unless its schema says otherwise; unknown members are refused here, and saying so costs tokens.
    return (
        (key == "title" and isinstance(value, str))
        or (key == "description" and value == "")
        or (key == "default" and value in (None, False, "", [], {}))
        or (key == "additionalProperties" and isinstance(value, bool))
    )
