"""The settings as a person may see them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic_core import to_jsonable_python

from ollama_mcp.settings import Settings
from ollama_mcp.settings.load import SECRET_SETTINGS, iter_settings

# In an address all before its last @: a password may have what has to be written as %2F or %40, and is not.
_URL_CREDENTIALS = re.compile(r"(?<=://)(?:[^\"\\]|\\.)*@|[^/@\s\"]+@")
_URL_PASSWORD = re.compile(r"(?<=[?&])((?:ssl)?password)=[^&\s\"]*")


def shown_values(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Each setting by its path, with its value as JSON has it; no key and no password."""
    for path, _ in iter_settings():
        value = _value(settings, path)
        if path in SECRET_SETTINGS and value:
            yield path, "(set)"
        else:
            # An address may contain a user and a password.
            text = json.dumps(value, ensure_ascii=False, default=_as_json)
            shown = _URL_CREDENTIALS.sub("(set)@", _URL_PASSWORD.sub(r"\1=(set)", text))
            yield path, json.loads(shown)


def _as_json(value: Any) -> Any:
    # A network is text; not every version of pydantic knows that.
    return to_jsonable_python(value, fallback=str)


def _value(settings: Settings, path: str) -> Any:
    value: Any = settings
    for name in path.split("."):
        value = getattr(value, name)
    return value
