"""JSON as Go's encoding/json writes it: compact, UTF-8, with `<`, `>` and `&` escaped."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, cast

Object = dict[str, Any]

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ESCAPED = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"))


def encode(value: Any) -> bytes:
    """The value as one line of JSON, without a line break at its end."""
    text = _ENCODER.encode(value)
    for plain, escaped in _ESCAPED:
        if plain in text:
            text = text.replace(plain, escaped)
    return text.encode("utf-8", "replace")


def as_object(value: Any) -> Object:
    """The value if it is a JSON object, else an empty one."""
    return cast("Object", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value if it is a JSON array, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def timestamp(moment: datetime | None = None) -> str:
    """RFC 3339 in UTC with nanoseconds, as Go prints time.Time; now if no moment is given."""
    moment = moment or datetime.now(UTC)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}001Z"
