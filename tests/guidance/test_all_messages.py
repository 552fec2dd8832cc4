"""Whatever any text of the code tells somebody to use is there: tools and their arguments, settings, options, commands.

The texts are taken from the syntax trees, so that a message which no test brings about is held to the same.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from jsonschema_rs import is_valid

from ollama_mcp.cli.options import build_parser
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.options import OPTIONS
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.server.bound_tool import BoundTool
from ollama_mcp.settings import Settings
from ollama_mcp.settings.load import iter_settings
from tests.architecture.tree import files, parsed, shown
from tests.guidance.helpers import calls_in

# What stands for a value that is put in at run time.
HOLE = "\0"
# Options that are kept beside Ollama's own.
BESIDE = {"truncate", "shift", "logprobs", "top_logprobs"}
# Commands and options of other programs that texts name.
OF_OLLAMA = {"pull", "serve", "signin"}
OF_OTHERS = {"--with", "--python", "--upgrade", "--force", "--header", "--data-binary"}
# Descriptions and comments on code speak of the program by its name; what a user is told to run does not.
BY_NAME = {
    "ollama_mcp/settings/access.py",
    "ollama_mcp/settings/auth.py",
    "ollama_mcp/settings/observation.py",
    "ollama_mcp/server/transports/stdio.py",
}
_TOOL = re.compile(r"\b(ollama_(?!mcp\b)[a-z_]+)\b")
_HINT = re.compile(r"(?<![\w.%-])([a-z_]+)=(true|false|'[a-z_]+'|\d+)(?!\w)")
# Where a value is put in: at run time, or by what fills in the texts of error rules.
_PUT_IN = re.compile(r"\0|\{[a-z_]+\}")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


class Text(NamedTuple):
    """A text of the code, and where it stands."""

    place: str
    words: str


def _texts(file: Path) -> Iterator[Text]:
    """Every text of more than a word that is no docstring, with a hole for each value."""
    skipped: set[int] = set()
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr):
                skipped.add(id(first.value))
        elif isinstance(node, ast.JoinedStr):
            skipped.update(map(id, node.values))
            parts = [str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values]
            yield Text(f"{shown(file)}:{node.lineno}", "".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield Text(f"{shown(file)}:{node.lineno}", node.value)


@cache
def texts() -> list[Text]:
    """All texts that somebody may read."""
    code = [file for file in files("ollama_mcp", "tools", pattern="*.py") if "simulator" not in file.parts]
    return [text for file in code for text in _texts(file) if " " in text.words and "3Csvg" not in text.words]


@pytest.fixture(scope="module")
def tools() -> Mapping[str, BoundTool]:
    """Every tool that there is."""
    settings = Settings.model_validate({"tools": {"toolsets": ["all"]}, "policy": {"push": "confirm"}})
    return OllamaServer(settings).bound_tools


@pytest.fixture(scope="module")
def schemas(tools: Mapping[str, BoundTool]) -> dict[str, dict[str, Any]]:
    """The input schema of each."""
    return {name: tool.wire.input_schema for name, tool in tools.items()}


def _wrong(found: Iterator[tuple[Text, str]]) -> list[str]:
    return [f"{text.place}: {name} in {text.words[:100]!r}" for text, name in found]


def test_the_texts_are_found() -> None:
    assert len(texts()) > 1_000


def test_every_tool_that_a_text_names_exists(schemas: dict[str, dict[str, Any]]) -> None:
    named = ((text, name) for text in texts() for name in _TOOL.findall(text.words))
    assert not _wrong((text, name) for text, name in named if name not in schemas)


def test_every_call_in_a_text_is_one_that_the_tool_takes(tools: Mapping[str, BoundTool]) -> None:
    # A value that is put in at run time, or left to the reader, is any that the schema takes.
    calls = [(text, *call) for text in texts() for call in calls_in(_PUT_IN.sub("...", text.words))]
    assert len(calls) > 15
    wrong = ((text, _refusal(tools[tool], arguments)) for text, tool, arguments in calls)
    assert not _wrong((text, why) for text, why in wrong if why)


def _refusal(tool: BoundTool, arguments: dict[str, Any]) -> str:
    properties: dict[str, Any] = tool.wire.input_schema["properties"]
    unknown = arguments.keys() - properties
    if unknown:
        return f"{tool.name}({', '.join(unknown)})"
    try:
        tool.arguments.check({name: _whole(value, properties[name]) for name, value in arguments.items()})
    except InvalidArgument as error:
        return error.message
    return ""


def _whole(value: Any, schema: dict[str, Any]) -> Any:
    if value is not ... and value != "...":
        return value
    kinds = schema.get("type", "string")
    return schema["enum"][0] if "enum" in schema else 1 if kinds in ("integer", "number") else "x"


def test_every_argument_that_a_text_says_to_set_is_one_and_takes_the_value(schemas: dict[str, dict[str, Any]]) -> None:
    found = [(text, *hint) for text in texts() for hint in _HINT.findall(text.words)]
    assert len(found) > 20
    known = dict[str, list[Any]]()
    for name, schema in (pair for one in schemas.values() for pair in _properties(one)):
        known.setdefault(name, []).append(schema)
    known |= {name: [{}] for name in {*OPTIONS, *BESIDE} - known.keys()}
    wrong = (
        (text, f"{name}={value}")
        for text, name, value in found
        if not any(is_valid(schema, json.loads(value.replace("'", '"'))) for schema in known.get(name, []))
    )
    assert not _wrong(wrong)


def _properties(schema: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        table = cast("dict[str, Any]", schema)
        yield from table.get("properties", {}).items()
        for inner in table.values():
            yield from _properties(inner)
    elif isinstance(schema, list):
        for inner in cast("list[Any]", schema):
            yield from _properties(inner)


def test_every_setting_and_option_that_a_text_names_exists() -> None:
    known = {path for path, _ in iter_settings()}
    known |= {f"options.{name}" for name in (*OPTIONS, *BESIDE)} | {f"defaults.options.{name}" for name in OPTIONS}
    sections = {path.split(".")[0] for path in known if "." in path}
    pattern = re.compile(
        rf"(?<![\w./:'-])((?:{'|'.join(sorted(sections))})\.(?:[a-z_]+|{HOLE})+(?:\.[a-z_]+)?)(?![\w/*])"
    )
    named = [(text, name.rstrip(".")) for text in texts() for name in pattern.findall(text.words)]
    assert len(named) > 50
    files_or_code = re.compile(r"\.(py|json|txt|md|jsonl|csv|wav)$")
    wrong = (
        (text, name)
        for text, name in named
        if not any(re.fullmatch(re.escape(name).replace(HOLE, ".+"), path) for path in known)
        and not files_or_code.search(name)
    )
    assert not _wrong(wrong)


def test_every_command_line_option_that_a_text_names_exists() -> None:
    known = set(_options(build_parser())) | OF_OTHERS
    wrong = ((text, name) for text in texts() for name in _OPTION.findall(text.words) if name not in known)
    assert not _wrong(wrong)


def _options(parser: Any) -> Iterator[str]:
    # argparse lists its options in no public place.
    for action in parser._actions:
        yield from action.option_strings
        if hasattr(action.choices, "values"):
            for inner in action.choices.values():
                yield from _options(inner)


def test_no_text_tells_to_run_this_program_by_a_name_that_may_be_on_no_path() -> None:
    named = [text for text in texts() if re.search(r"`[^`]*ollama-mcp-server(?! \w+ @)[^`]*`", text.words)]
    assert not [text.place for text in named if text.place.split(":")[0] not in BY_NAME]
    of_ollama = [(text, name) for text in texts() for name in re.findall(r"`ollama ([a-z]+)", text.words)]
    assert not _wrong((text, name) for text, name in of_ollama if name not in OF_OLLAMA)


def test_every_command_of_this_program_that_a_text_is_given_is_one() -> None:
    commands = [
        _filled(node.args[0])
        for file in files("ollama_mcp", "tools", pattern="*.py")
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "command"
        # The command line's own helper of that name declares commands, with help.
        if len(node.args) == 1
    ]
    assert len(commands) > 3
    for command in commands:
        if command != "--help":
            build_parser().parse_args(command.split())


def _filled(node: ast.expr) -> str:
    assert isinstance(node, ast.Constant | ast.JoinedStr)
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values).replace(
        "xx", "x"
    )
