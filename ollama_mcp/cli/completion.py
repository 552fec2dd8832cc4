"""`ollama-mcp-server completion bash | zsh | fish`: the script by which a shell completes our commands.

It is made from the parser, so that it names what there is. Models are asked for when they are completed.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from typing import Any, cast

from ollama_mcp.cli.completion_scripts import Command, Option, Values, bash_script, fish_script, zsh_script
from ollama_mcp.cli.install.hosts import HOSTS
from ollama_mcp.cli.options import build_parser, cloud_key, load_from_options
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.settings.load import iter_settings

_PATHS = frozenset(("FILE", "FOLDER", "PATH", "file", "folder", "input", "examples", "schema", "questions"))
# Where no choices are declared: what the words of an argument are, by its name.
_DYNAMIC = {
    "model": "models",
    "models": "models",
    "judge": "models",
    "tool": "tools",
    "hosts": "hosts",
    "topic": "commands",
    "setting": "settings",
}
_LONGEST_WAIT = 2.0


def completion(options: argparse.Namespace) -> int:
    """Print the script of a shell, or, for "models", the names of the installed models."""
    if options.shell == "models":
        print("\n".join(asyncio.run(_models(options))))
        return 0
    write = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}[options.shell]
    print(write(table(tuple(asyncio.run(_tools(options))))), end="")
    return 0


def table(tools: tuple[str, ...]) -> list[Command]:
    """All commands of the parser, the program without one first.

    Args:
        tools: Names of the offered tools.
    """
    parser = build_parser()
    (commands,) = (action for action in _actions(parser) if action.dest == "command_name")
    parsers = cast("dict[str, argparse.ArgumentParser]", commands.choices)
    words = {"tools": tools, "hosts": tuple(host.key for host in HOSTS), "commands": tuple(parsers)}
    words["settings"] = tuple(name for name, _ in iter_settings())
    helps = {one.dest: one.help or "" for one in _choices(commands)}
    return [
        _command("", "", parser, words),
        *(_command(name, helps[name], sub, words) for name, sub in parsers.items()),
    ]


def _command(name: str, help_: str, parser: argparse.ArgumentParser, words: dict[str, tuple[str, ...]]) -> Command:
    found = Command(name, help_)
    for action in _actions(parser):
        if action.option_strings:
            values = None if action.nargs == 0 else _values(action, words)
            found.options.append(Option(tuple(action.option_strings), action.help or "", values))
        elif name:
            found.arguments.append(_values(action, words))
    return found


def _values(action: argparse.Action, words: dict[str, tuple[str, ...]]) -> Values:
    kind = _DYNAMIC.get(action.dest, "")
    named = tuple(map(str, action.choices)) if action.choices else words.get(kind, ())
    are_files = not named and (action.metavar in _PATHS or action.dest in _PATHS)
    return Values(named, are_files, kind == "models", action.nargs in ("*", "+"))


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    # argparse lists them in no public place.
    return cast("list[argparse.Action]", vars(parser)["_actions"])


def _choices(commands: Any) -> Iterator[argparse.Action]:
    yield from cast("list[argparse.Action]", vars(commands)["_choices_actions"])


async def _tools(options: argparse.Namespace) -> list[str]:
    from ollama_mcp.server.app import OllamaServer

    server = OllamaServer(load_from_options(options).settings, api_key=cloud_key())
    return [tool.name for tool in await server.list_tools()]


async def _models(options: argparse.Namespace) -> list[str]:
    """The names of the installed models; none where no host tells them soon: somebody waits for the next letter."""
    from ollama_mcp.hosts import open_pool

    try:
        hosts = open_pool(load_from_options(options).settings, api_key=cloud_key())
        try:
            async with asyncio.timeout(_LONGEST_WAIT):
                return sorted({model.name for model in await hosts.installed()})
        finally:
            await hosts.aclose()
    except (OllamaMCPError, TimeoutError):
        return []
