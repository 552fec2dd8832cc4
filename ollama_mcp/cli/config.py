"""`ollama-mcp-server config show | schema | check`."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

from ollama_mcp.cli.settings import cloud_key, load
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.settings import Loaded, Settings, SettingsError
from ollama_mcp.settings.load import SECRETS, fields

_USER = re.compile(r"[^/@\s]+@")


def run(options: argparse.Namespace) -> int:
    """Print what was asked for."""
    if options.action == "schema":
        print(json.dumps(Settings.model_json_schema(), indent=2))
        return 0
    loaded = load(options)
    if options.action == "show":
        _show(loaded)
    else:
        _check(loaded)
    return 0


def _show(loaded: Loaded) -> None:
    print(f"# config file: {loaded.config_file or 'none'}")
    for path, _ in fields():
        value = _value(loaded.settings, path)
        # An address may carry a user and a password.
        shown = '"(set)"' if path in SECRETS and value else _USER.sub("(set)@", json.dumps(value, ensure_ascii=False))
        print(f"{path} = {shown}  # {loaded.origins.get(path, 'default')}")
    print(f"OLLAMA_API_KEY is {'set' if cloud_key() else 'not set'}.")


def _check(loaded: Loaded) -> None:
    """Everything that a start or the first call would refuse or skip, without starting."""
    from ollama_mcp.formats.host import base_url
    from ollama_mcp.server.defaults import check_defaults
    from ollama_mcp.server.guidance.prompts import load_prompts
    from ollama_mcp.server.loader import load_tools
    from ollama_mcp.server.selection import select_tools

    settings = loaded.settings
    check_defaults(settings)
    _check_host(settings)
    tools = select_tools(load_tools(settings.tools.folders), settings, cloud_key=bool(cloud_key()))
    prompts, problems = load_prompts(settings.prompts.folders)
    offered = [name for name, prompt in prompts.items() if prompt.is_possible(tools)]
    print(f"The settings are right. Ollama: {base_url(settings.host)}; {len(tools)} tools: {', '.join(tools)}.")
    print(f"{len(offered)} prompts: {', '.join(offered)}.")
    for problem in problems:
        print(f"Note: {problem}")


def _check_host(settings: Settings) -> None:
    """Refuse what no request to the host could be sent with."""
    from ollama_mcp.api.address import checked_headers
    from ollama_mcp.api.tls import context

    _named("headers", lambda: checked_headers(settings.headers, None))
    _named("api_key", lambda: checked_headers({}, settings.api_key))
    if settings.ca_file:
        _named("ca_file", lambda: asyncio.run(context(verify=True, ca_file=settings.ca_file)))


def _named(setting: str, check: Callable[[], object]) -> None:
    try:
        check()
    except InvalidArgument as error:
        raise SettingsError(f"setting {setting}: {error.message}", next_step=error.next_step) from None


def _value(settings: Settings, path: str) -> Any:
    value: Any = settings
    for name in path.split("."):
        value = getattr(value, name)
    return value
