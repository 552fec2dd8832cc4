"""What results tell an agent to do next, told to who types commands."""

from __future__ import annotations

import ast
import json
import re
import shlex
from typing import Any

from ollama_mcp import _command

# The command of a tool, and the arguments that it takes by place; where others are given, `call` takes them all.
_COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ollama_chat": ("ask", ()),
    "ollama_batch": ("batch", ()),
    "ollama_decide": ("decide", ()),
    "ollama_compare": ("compare", ()),
    "ollama_search": ("search", ()),
    "ollama_job": ("jobs", ("action", "id")),
    "ollama_list_models": ("models", ()),
    "ollama_show_model": ("models show", ("model",)),
    "ollama_pull_model": ("models pull", ("model",)),
    "ollama_delete_model": ("models rm", ("model",)),
}
_ARGUMENTS = r"\((?:[^()'\"]|'[^']*'|\"[^\"]*\")*\)"
# A tool with or without a call of it; not the part of a path, and not what a misspelt name is closest to.
_TOOL = re.compile(rf"(?<![\w./\\'-])(?<!Did you mean )(?P<tick>`?)(?P<tool>ollama_(?!mcp)[a-z_]+)"
                   rf"(?P<arguments>{_ARGUMENTS})?(?P=tick)(?![\w/\\-])")  # fmt: skip
_TO_AGENTS = (
    (re.compile(r", if the user (?:agrees|wants that)"), ""),
    (re.compile(r"\bCall (?=`)"), "Run "),
    (re.compile(r"(?<!`)\btools/list\b"), "`{tools}`"),
)


def in_shell(text: str) -> str:
    """The text with commands of this program in the place of tools and their calls."""
    text = _TOOL.sub(_replaced, text)
    for pattern, words in _TO_AGENTS:
        text = pattern.sub(words.replace("{tools}", _command.command("tools")).replace("\\", "\\\\"), text)
    return text


def _replaced(match: re.Match[str]) -> str:
    try:
        arguments = _arguments(match["arguments"] or "()")
    except (SyntaxError, ValueError):
        # No call that could be told to somebody.
        return match[0]
    return f"`{_command.command(words_of(match['tool'], arguments))}`"


def words_of(tool: str, arguments: dict[str, Any]) -> str:
    """The command, without the program, that makes a call of a tool."""
    words, places = _COMMANDS.get(tool, ("", ()))
    offset = arguments.get("offset") if tool == "ollama_job" else None
    if words and arguments.keys() <= {*places, *(("offset",) if offset else ())}:
        given = [_value(arguments[place]) for place in places if place in arguments]
        given += ["NAME"] if places == ("model",) and not given else []
        return " ".join([words, *given, *(["--offset", _value(offset)] if offset else [])])
    pairs = [shlex.quote(f"{name}={_plain(value)}") for name, value in arguments.items()]
    return " ".join(["call", tool, *pairs])


def _arguments(text: str) -> dict[str, Any]:
    # `from` is an argument of ours and a word of Python's.
    call = ast.parse(f"f{re.sub(r'(?<=[( ])from=', 'from_=', text)}", mode="eval").body
    assert isinstance(call, ast.Call)
    return {str(one.arg).rstrip("_"): ast.literal_eval(one.value) for one in call.keywords}


def _plain(value: Any) -> str:
    # What is left to the reader stands there as dots.
    return value if isinstance(value, str) else "..." if value is ... else json.dumps(value, default=_plain)


def _value(value: Any) -> str:
    return shlex.quote(_plain(value))
