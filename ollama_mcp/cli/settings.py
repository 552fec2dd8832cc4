"""Options of the command line as a layer of the settings."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from ollama_mcp.settings import Loaded, SettingsError, load_settings

_PATHS = {
    "ollama": "host",
    "toolsets": "tools.toolsets",
    "tools": "tools.include",
    "exclude_tools": "tools.exclude",
    "read_only": "read_only",
    "transport": "transport",
    "bind": "http.host",
    "port": "http.port",
    "socket": "http.socket",
    "stateless": "http.stateless",
}
_LISTS = frozenset(("toolsets", "tools", "exclude_tools"))


def load(options: argparse.Namespace) -> Loaded:
    """The settings with the command line as their highest layer.

    Raises:
        SettingsError: Names the first wrong setting.
    """
    values: dict[str, Any] = {}
    for option, path in _PATHS.items():
        value = getattr(options, option, None)
        if value is not None:
            _put(values, path, _split(value) if option in _LISTS else value)
    for pair in getattr(options, "set", None) or ():
        name, equals, text = pair.partition("=")
        if not equals:
            raise SettingsError(f"--set takes NAME=VALUE, not {pair!r}.")
        _put(values, name.strip(), json_or_text(text))
    return load_settings(values, config=getattr(options, "config", None))


def as_arguments(options: argparse.Namespace) -> list[str]:
    """The options that shape a server, as the command line of another process."""
    arguments: list[str] = []
    for name in ("config", "toolsets", "tools", "exclude_tools"):
        if hasattr(options, name):
            arguments += [f"--{name.replace('_', '-')}", getattr(options, name)]
    for pair in getattr(options, "set", None) or ():
        arguments += ["--set", pair]
    return [*arguments, "--read-only"] if getattr(options, "read_only", False) else arguments


def cloud_key() -> str:
    """The user's key for https://ollama.com; a name that Ollama's own clients share, so no setting of ours."""
    key = os.environ.get("OLLAMA_API_KEY", "").strip()
    return "" if key.startswith("${") else key


def json_or_text(text: str) -> Any:
    """JSON where it is JSON, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _put(values: dict[str, Any], path: str, value: Any) -> None:
    *sections, name = path.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[name] = value
