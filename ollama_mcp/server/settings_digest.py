"""A digest of what decides how a call is done: another server of the same settings does it in the same way."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ollama_mcp.settings import Settings

# What changes nothing in a call, and what is secret.
_LEFT_OUT: dict[str, Any] = {
    "api_key": True,
    "headers": True,
    "hosts": {"__all__": {"headers"}},
    "http": True,
    "cache": True,
    "log_level": True,
    "store": True,
    "jobs": True,
    "fleet": True,
}


def settings_digest(settings: Settings) -> str:
    """The digest of the settings and of the working folder, from which relative paths start."""
    fields = settings.model_dump(mode="json", exclude=_LEFT_OUT)
    text = json.dumps([fields, os.getcwd()], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
