"""The settings' defaults of calls, held at the start to what a call itself would be held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.durations import keep_alive_seconds
from ollama_mcp.formats.names import parse_name
from ollama_mcp.server.types import checked_options
from ollama_mcp.settings import Settings, SettingsError


def check_defaults(settings: Settings) -> None:
    """Refuse defaults that would fail each call.

    Raises:
        SettingsError: Names the setting and what it takes.
    """
    defaults = settings.defaults
    for name in ("model", "chat", "generate", "embed", "vision", "decide"):
        if model := getattr(defaults, name):
            _hold(name, parse_name, model)
    if defaults.keep_alive is not None:
        _hold("keep_alive", keep_alive_seconds, defaults.keep_alive)
    _hold("options", checked_options, defaults.options)


def _hold(name: str, check: Callable[[Any], object], value: object) -> None:
    try:
        check(value)
    except InvalidArgument as error:
        raise SettingsError(f"setting defaults.{name}: {error.message}", next_step=error.next_step) from None
