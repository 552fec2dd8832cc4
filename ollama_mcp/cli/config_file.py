"""`ollama-mcp-server config path | get | set`: where the user's settings are, what one is, and how it is changed."""

from __future__ import annotations

import argparse
import difflib
import json
from typing import Any, get_origin

from ollama_mcp._command import command
from ollama_mcp._paths import user_config_file
from ollama_mcp.cli.install import jsonc
from ollama_mcp.cli.install.files import ConfigFile
from ollama_mcp.cli.options import json_or_text, load_from_options
from ollama_mcp.cli.output import Output
from ollama_mcp.cli.shown_settings import shown_values
from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.settings import LoadedSettings
from ollama_mcp.settings.load import iter_settings, load_settings


def path(options: argparse.Namespace) -> int:
    """Print the path of the config file in use, or of the one that would be read."""
    loaded, output = load_from_options(options), Output(options)
    file = loaded.config_file or user_config_file()
    if output.is_json:
        output.json({"file": str(file), "exists": file.is_file()})
        return 0
    print(file)
    if not file.is_file():
        output.note("It is not there yet: `config set` makes it.")
    return 0


def get(options: argparse.Namespace) -> int:
    """Print a setting's value alone, and on stderr where it came from; all of a section.

    Raises:
        InvalidArgument: There is no such setting.
    """
    loaded, output = load_from_options(options), Output(options)
    name = options.setting
    values = {one: value for one, value in shown_values(loaded.settings) if f"{one}.".startswith(f"{name}.")}
    if not name or not values:
        raise _unknown(name)
    rows = [{"name": one, "value": value, "from": _origin(loaded, one)} for one, value in values.items()]
    if output.is_json:
        output.json(rows[0] if name in values else rows)
    elif name in values:
        value = values[name]
        print(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        output.note(f"from {rows[0]['from']}")
    else:
        for row in rows:
            print(f"{row['name']} = {json.dumps(row['value'], ensure_ascii=False)}  # {row['from']}")
    return 0


def set_value(options: argparse.Namespace) -> int:
    """Write a setting to the config file, in which all else stays as it is written.

    Raises:
        InvalidArgument: There is no such setting, or it does not take the value; nothing was changed.
        DiskError: The file cannot be read, parsed or written; it is as it was.
    """
    name, kinds = options.setting, {one: info.annotation for one, info in iter_settings()}
    if not name or options.value is None:
        raise InvalidArgument("config set takes a setting and its value.", next_step="config set limits.listed 50")
    if name not in kinds:
        raise _unknown(name)
    value = _value(options.value, kinds[name])
    # All settings together, as the next start finds them.
    options.set = [*(getattr(options, "set", None) or ()), f"{name}={json.dumps(value)}"]
    file = load_from_options(options).config_file or user_config_file()
    before = ConfigFile.read(file)
    try:
        text = jsonc.with_member(before.text or "{}\n", name.split("."), value)
        is_whole = jsonc.parse(text) == _with(jsonc.parse(before.text or "{}"), name, value)
    except jsonc.JsoncError as error:
        raise DiskError(f"{str(file)!r} is left as it is: {error}.", next_step="Mend it, then try again.") from None
    if not is_whole:
        raise DiskError(f"{str(file)!r} is left as it is: the setting cannot be placed.", next_step="Edit it by hand.")
    before.replace(text, is_kept=True)
    output = Output(options)
    shown = dict(shown_values(load_from_options(options).settings))[name]
    if output.is_json:
        output.json({"name": name, "value": shown, "file": str(file)})
    else:
        print(f"{name} = {json.dumps(shown, ensure_ascii=False)} ({file})")
    _note_what_wins(options, name, output)
    return 0


def _note_what_wins(options: argparse.Namespace, name: str, output: Output) -> None:
    origin = _origin(load_settings(config=getattr(options, "config", None)), name)
    if origin.startswith("environment"):
        output.note(f"Here the {origin} still wins over it; servers that hosts start have variables of their own.")
    else:
        output.note("Servers use it from their next start on.")


def _origin(loaded: LoadedSettings, name: str) -> str:
    return loaded.origins.get(name, "default")


def _value(text: str, kind: Any) -> Any:
    """The value as the setting takes it: a list may be words with commas, a text needs no quotes."""
    value = json_or_text(text)
    if kind is str and not isinstance(value, str):
        return text
    if get_origin(kind) is list and isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _with(values: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """The values of a file with a setting."""
    section, _, rest = name.partition(".")
    return {**values, section: _with(values.get(section, {}), rest, value) if rest else value}


def _unknown(name: str) -> InvalidArgument:
    if not name:
        return InvalidArgument(
            "config get takes the name of a setting.", next_step=f"`{command('config show')}` lists them."
        )
    close = difflib.get_close_matches(name, [one for one, _ in iter_settings()], n=1)
    hint = f"Did you mean {close[0]}?" if close else f"`{command('config show')}` lists all settings."
    return InvalidArgument(f"There is no setting {name!r}.", next_step=hint)
