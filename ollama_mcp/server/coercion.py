"""Puts right what models get wrong about argument types, before anything is refused.

"42" for an integer, "true" for a boolean, one string where a list is wanted, JSON text where an object is wanted,
a number where text is wanted, null for an absent argument. It walks the published schema, so nested values count too.
"""

from __future__ import annotations

import json
from typing import Any, cast

Schema = dict[str, Any]


def coerce(value: Any, schema: Schema) -> Any:
    """The value as the schema wants it where that is beyond doubt, else unchanged."""
    kinds = _kinds(schema)
    if isinstance(value, str) and not _fits_text(value, kinds):
        value = _parsed(value, kinds)
    elif isinstance(value, int | float) and not isinstance(value, bool) and kinds == {"string"}:
        value = str(value)
    if "array" in kinds and value is not None and not isinstance(value, list):
        value = [value]
    if isinstance(value, list):
        items = cast("Schema", schema.get("items") or {})
        return [coerce(item, items) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return _members(cast("dict[str, Any]", value), schema)
    return value


def _members(value: dict[str, Any], schema: Schema) -> dict[str, Any]:
    known = cast("dict[str, Schema]", schema.get("properties") or {})
    if not known:
        return value
    return {
        key: coerce(item, known.get(key, {})) for key, item in value.items() if item is not None or key not in known
    }


def _kinds(schema: Schema) -> set[str]:
    branches = cast("list[Schema]", schema.get("anyOf") or [schema])
    return {str(branch["type"]) for branch in branches if "type" in branch}


def _fits_text(text: str, kinds: set[str]) -> bool:
    if not kinds:
        return True
    return "string" in kinds and not ("object" in kinds and text.lstrip()[:1] == "{")


def _parsed(text: str, kinds: set[str]) -> Any:
    if "boolean" in kinds and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return parsed if _kind_of(parsed) & kinds else text


def _kind_of(value: Any) -> set[str]:
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"integer", "number"}
    if isinstance(value, float):
        return {"integer", "number"} if value.is_integer() else {"number"}
    return {"object"} if isinstance(value, dict) else {"array"} if isinstance(value, list) else set()
