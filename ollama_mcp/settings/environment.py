"""The environment layer, read by pydantic-settings (imported only where an `OLLAMA_MCP_` variable is set)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from ollama_mcp.settings.model import Settings


def read(variables: Mapping[str, str], lists: frozenset[str]) -> dict[str, Any]:
    """Nested values of known `OLLAMA_MCP_...` variables.

    Args:
        variables: Upper-case names and their values.
        lists: Dotted paths of the settings that are lists: "a, b" is taken beside JSON.
    """
    if not variables:
        return {}
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

    class FromEnvironment(Settings, BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix="OLLAMA_MCP_", env_nested_delimiter="__", enable_decoding=False, extra="forbid", defer_build=True
        )

    source = EnvSettingsSource(FromEnvironment)
    source.env_vars = {name.lower(): value for name, value in variables.items()}
    return {name: _decoded(value, name, lists) for name, value in source().items()}


def _decoded(value: Any, path: str, lists: frozenset[str]) -> Any:
    if isinstance(value, dict):
        inner = cast("dict[str, Any]", value)
        return {name: _decoded(item, f"{path}.{name}", lists) for name, item in inner.items()}
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    if isinstance(value, str) and path in lists:
        return [part.strip() for part in value.split(",") if part.strip()]
    return value
