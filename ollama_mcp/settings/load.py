"""Reads the layers, merges them key by key, and remembers which layer each value came from."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ollama_mcp._paths import shipped, user_config_file
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.settings.model import Settings

PREFIX = "OLLAMA_MCP_"
CONFIG_VARIABLE = "OLLAMA_MCP_CONFIG"
# Their values stand in no message and no listing: stderr ends up in the log files of hosts.
SECRETS = frozenset(("api_key", "headers"))
_SHOWN = 120

Values = dict[str, Any]


class SettingsError(InvalidArgument):
    """A setting is unknown or wrong; one line that names the setting, its value and where it came from."""


@dataclass(frozen=True)
class Loaded:
    """The settings in force, and per setting ("limits.listed") the layer that it came from."""

    settings: Settings
    origins: dict[str, str]
    config_file: Path | None


def load_settings(
    command_line: Values | None = None,
    *,
    config: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """The settings of this start.

    Args:
        command_line: Nested values from options, absent where not given.
        config: Path from `--config`; it must exist.
        environment: Variables, the process's own by default.

    Raises:
        SettingsError: Names the first wrong setting.
    """
    env = {
        key: value for key, value in (environment if environment is not None else os.environ).items() if _is_set(value)
    }
    file = _config_file(config, env)
    layers: list[tuple[str, Values]] = [("shipped config.json", _read_json(shipped("config.json")))]
    if file is not None:
        layers.append((f"config file {file}", _read_json(file)))
    layers += [("environment OLLAMA_HOST", _ollama_host(env)), ("environment", _environment(env))]
    layers.append(("command line", command_line or {}))
    merged: Values = {}
    origins: dict[str, str] = {}
    for origin, values in layers:
        _merge(merged, values)
        for path in leaves(values):
            origins[path] = f"environment {variable_of(path)}" if origin == "environment" else origin
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise _explain(error, origins) from None
    return Loaded(settings, origins, file)


def leaves(values: Values, prefix: str = "") -> Iterator[str]:
    """Dotted paths of all values, as settings know them."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and _section_at(path):
            yield from leaves(cast("Values", value), f"{path}.")
        else:
            yield path


def fields(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting with its dotted path, in the order of the model."""
    for name, info in model.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from fields(section, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


def variable_of(path: str) -> str:
    """Name of the environment variable of a setting."""
    return PREFIX + path.replace(".", "__").upper()


def _section_at(path: str) -> bool:
    return any(known.startswith(f"{path}.") for known, _ in fields())


def _is_set(value: str) -> bool:
    # Hosts pass optional fields that were left blank as "" or as the unexpanded "${user_config.x}".
    return bool(value.strip()) and not value.strip().startswith("${")


def _config_file(config: str | None, env: Mapping[str, str]) -> Path | None:
    named = config or env.get(CONFIG_VARIABLE)
    if named is None:
        file = user_config_file()
        return file if file.is_file() else None
    file = Path(named).expanduser()
    if not file.is_file():
        source = "--config" if config else CONFIG_VARIABLE
        raise SettingsError(f"{source} names {str(file)!r}, which is no file.")
    return file


def _read_json(file: Path) -> Values:
    try:
        values: Any = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"config file {str(file)!r} cannot be read: {error}.") from None
    if not isinstance(values, dict):
        raise SettingsError(f"config file {str(file)!r} must hold one JSON object.")
    return {key: value for key, value in cast("Values", values).items() if key != "$schema"}


def _ollama_host(env: Mapping[str, str]) -> Values:
    return {"host": env["OLLAMA_HOST"]} if "OLLAMA_HOST" in env else {}


def _environment(env: Mapping[str, str]) -> Values:
    from ollama_mcp.settings.environment import read

    known = {variable_of(path): path for path, _ in fields()}
    for name in env:
        if name.upper().startswith(PREFIX) and name.upper() not in known and name.upper() != CONFIG_VARIABLE:
            raise SettingsError(f"environment variable {name} is no setting.", next_step=_closest(name.upper(), known))
    lists = frozenset(path for path, info in fields() if get_origin(info.annotation) is list)
    return read({name.upper(): value for name, value in env.items() if name.upper() in known}, lists)


def _merge(into: Values, values: Values, prefix: str = "") -> None:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(into.get(key), dict) and _section_at(path):
            _merge(into[key], cast("Values", value), f"{path}.")
        else:
            into[key] = json.loads(json.dumps(value)) if isinstance(value, dict) else value


def _explain(error: ValidationError, origins: dict[str, str]) -> SettingsError:
    first = error.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"]]
    path = ".".join(where)
    origin = next(
        (origins[key] for key in (".".join(where[:n]) for n in range(len(where), 0, -1)) if key in origins), ""
    )
    source = f" (from {origin})" if origin else ""
    if first["type"] == "extra_forbidden":
        known = {known for known, _ in fields()}
        return SettingsError(f"{path!r} is no setting{source}.", next_step=_closest(path, known))
    given = "" if where[0] in SECRETS or _names_user(first["input"]) else f" is {_shown(first['input'])}"
    return SettingsError(f"setting {path}{source}{given}: {first['msg'].lower()}.")


def _names_user(value: Any) -> bool:
    """Whether a value looks like an address with a user and a password before its host."""
    return "@" in str(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _closest(name: str, known: Mapping[str, Any] | set[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {close[0]}?" if close else "`ollama-mcp-server config show` lists all settings."
