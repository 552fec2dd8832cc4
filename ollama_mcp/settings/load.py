"""Loads the settings: reads all layers, merges them key by key, and records which layer each value came from."""

from __future__ import annotations

import copy
import difflib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ollama_mcp._command import command
from ollama_mcp._paths import shipped_path, user_config_file
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.settings.model import Settings

PREFIX = "OLLAMA_MCP_"
CONFIG_VARIABLE = "OLLAMA_MCP_CONFIG"
# Their values appear in no message and no listing: MCP hosts write stderr to log files.
SECRET_SETTINGS = frozenset(("api_key", "headers", "hosts", "state"))
_MAX_VALUE_CHARS = 120

Values = dict[str, Any]


class SettingsError(InvalidArgument):
    """A setting is unknown or wrong; one line that names the setting, its value and its origin."""


@dataclass(frozen=True)
class LoadedSettings:
    """The settings in force, and the layer that each came from.

    Args:
        settings: The settings in force.
        origins: The layer by dotted path, such as "limits.listed".
        config_file: The config file that was read beside the shipped one, if any.
    """

    settings: Settings
    origins: dict[str, str]
    config_file: Path | None


def load_settings(
    command_line: Values | None = None,
    *,
    config: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> LoadedSettings:
    """Return the settings of this process.

    Args:
        command_line: Nested values of the options that were given.
        config: Path from `--config`; it must exist.
        environment: Environment variables; those of the process by default.

    Raises:
        SettingsError: A setting is unknown or wrong; the message names the first.
    """
    variables = os.environ if environment is None else environment
    env = {name: value for name, value in variables.items() if _is_set(value)}
    file = _config_file(config, env)
    layers: list[tuple[str, Values]] = [("shipped config.json", _read_json(shipped_path("config.json")))]
    if file is not None:
        layers.append((f"config file {file}", _read_json(file)))
    layers += [("environment OLLAMA_HOST", _read_ollama_host(env)), ("environment", _read_environment(env))]
    layers.append(("command line", command_line or {}))
    merged: Values = {}
    origins: dict[str, str] = {}
    for origin, values in layers:
        _merge(merged, values)
        for path in leaf_paths(values):
            origins[path] = f"environment {variable_name(path)}" if origin == "environment" else origin
    if origins.get("host") == "command line" != origins.get("hosts"):
        # One address for this start only.
        merged["hosts"] = {}
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        # pydantic's own text has several lines, URLs, and the values of secrets.
        raise _settings_error(error, origins) from None
    return LoadedSettings(settings, origins, file)


def iter_settings(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every setting with its dotted path, in the order of the model."""
    for name, info in model.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from iter_settings(section, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


def leaf_paths(values: Values, prefix: str = "") -> Iterator[str]:
    """Yield the dotted paths of nested values, without entering the value of a setting that is itself an object."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and _is_section(path):
            yield from leaf_paths(cast("Values", value), f"{path}.")
        else:
            yield path


def variable_name(path: str) -> str:
    """Return the name of the environment variable of a setting."""
    return PREFIX + path.replace(".", "__").upper()


def _is_section(path: str) -> bool:
    return any(known.startswith(f"{path}.") for known, _ in iter_settings())


def _is_set(value: str) -> bool:
    # MCP hosts pass optional fields that were left blank as "" or as the unexpanded "${user_config.x}".
    return bool(value.strip()) and not value.strip().startswith("${")


def _config_file(config: str | None, env: Mapping[str, str]) -> Path | None:
    named = config or env.get(CONFIG_VARIABLE)
    if named is None:
        file = user_config_file()
        return file if file.is_file() else None
    file = Path(named).expanduser()
    # Only the user's own file may be missing; ignoring a file that was named would hide a mistake.
    if not file.is_file():
        source = "--config" if config else CONFIG_VARIABLE
        raise SettingsError(f"{source} names {str(file)!r}, which is not a file.")
    return file


def _read_json(file: Path) -> Values:
    try:
        # Editors on Windows may write a byte order mark.
        values: Any = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"config file {str(file)!r} cannot be read: {error}.") from None
    if not isinstance(values, dict):
        raise SettingsError(f"config file {str(file)!r} must contain one JSON object.")
    # "$schema" is for editors, which complete the settings by it.
    return {key: value for key, value in cast("Values", values).items() if key != "$schema"}


def _read_ollama_host(env: Mapping[str, str]) -> Values:
    return {"host": env["OLLAMA_HOST"]} if "OLLAMA_HOST" in env else {}


def _read_environment(env: Mapping[str, str]) -> Values:
    known = {variable_name(path): path for path, _ in iter_settings()}
    # pydantic-settings ignores unknown variables, so a typing mistake would go unnoticed.
    for name in env:
        if name.upper().startswith(PREFIX) and name.upper() not in known and name.upper() != CONFIG_VARIABLE:
            raise SettingsError(
                f"environment variable {name} does not name a setting.", next_step=_suggestion(name.upper(), known)
            )
    return _nested_values({name.upper(): value for name, value in env.items() if name.upper() in known})


def _nested_values(variables: Mapping[str, str]) -> Values:
    """Return the values of known `OLLAMA_MCP_...` variables, given by upper-case names, in their sections."""
    if not variables:
        return {}
    # Most starts set no such variable and need not load this library.
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

    # Undecoded: pydantic-settings accepts only JSON for lists, and its errors do not name the variable.
    class EnvironmentSettings(Settings, BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix="OLLAMA_MCP_", env_nested_delimiter="__", enable_decoding=False, extra="forbid", defer_build=True
        )

    source = EnvSettingsSource(EnvironmentSettings)
    source.env_vars = {name.lower(): value for name, value in variables.items()}
    lists = frozenset(path for path, info in iter_settings() if get_origin(info.annotation) is list)
    return {name: _decode(value, name, lists) for name, value in source().items()}


def _decode(value: Any, path: str, lists: frozenset[str]) -> Any:
    """Decode JSON and, for the settings in `lists`, comma-separated words."""
    if isinstance(value, dict):
        section = cast("Values", value)
        return {name: _decode(item, f"{path}.{name}", lists) for name, item in section.items()}
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            # The validation of the setting reports it, with the name of the variable.
            return value
    if isinstance(value, str) and path in lists:
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _merge(into: Values, values: Values, prefix: str = "") -> None:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(into.get(key), dict) and _is_section(path):
            _merge(into[key], cast("Values", value), f"{path}.")
        else:
            # A copy, since the next layers are merged into it.
            into[key] = copy.deepcopy(cast("Any", value))


def _settings_error(error: ValidationError, origins: dict[str, str]) -> SettingsError:
    errors = error.errors(include_url=False)
    first = errors[0]
    where = [str(part) for part in first["loc"]]
    path = ".".join(where)
    messages = first["msg"]
    # Of a setting that takes values of several types, pydantic gives an error for each type, named after its path.
    if (setting := ".".join(where[:-1])) in {known for known, _ in iter_settings()} and len(errors) > 1:
        same = [each["msg"] for each in errors if each["loc"][:-1] == first["loc"][:-1]]
        if len(same) > 1:
            where, path, messages = where[:-1], setting, " or ".join(same)
    # The error may be about an item of a list or an object, whose origin is that of the setting around it.
    parents = (".".join(where[:length]) for length in range(len(where), 0, -1))
    origin = next((origins[parent] for parent in parents if parent in origins), "")
    source = f" (from {origin})" if origin else ""
    if first["type"] == "extra_forbidden":
        known = {known for known, _ in iter_settings()}
        return SettingsError(f"unknown setting {path!r}{source}.", next_step=_suggestion(path, known))
    is_secret = where[0] in SECRET_SETTINGS or _may_have_credentials(first["input"])
    given = "" if is_secret else f" is {_shown(first['input'])}"
    return SettingsError(f"setting {path}{source}{given}: {messages.lower()}.")


def _may_have_credentials(value: Any) -> bool:
    """Return whether a value may be an address with a user name and password before its host, or after it."""
    return "@" in str(value) or "password=" in str(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}…"


def _suggestion(name: str, known: Mapping[str, Any] | set[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {close[0]}?" if close else f"`{command('config show')}` lists all settings."
