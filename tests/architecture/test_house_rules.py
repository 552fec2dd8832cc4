"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, files, parsed, shown

MOST_LINES = 400
PRINTERS = ("ollama_mcp/cli/", "bench/", "docs/", "tests/")
# The stdio transport, which owns stdout, and the simulator's own process, which tells its address and serves no MCP.
OWN_STDOUT = {"ollama_mcp/server/transports/pipes.py", "ollama_mcp/simulator/command_line.py"}
# Spelled in pieces, so that this file does not break its own rule.
WORKPLACE = re.compile("|".join((r"(?<![\w.])/wor" + r"k/", "/tmp/" + "briefs", r"\bissue #?" + r"\d")))
INDEXES = {"pypi.org", "files.pythonhosted.org"}


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def test_no_python_file_has_more_than_400_lines() -> None:
    long = {
        shown(file): lines for file in files(pattern="*.py") if (lines := len(_text(file).splitlines())) > MOST_LINES
    }
    assert not long


def test_only_the_command_line_writes_to_stdout() -> None:
    wrong = [
        f"{shown(file)}:{node.lineno}"
        for file in files(pattern="*.py")
        if not shown(file).startswith(PRINTERS) and shown(file) not in OWN_STDOUT
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.expr) and (_is_print(node) or _is_stdout(node))
    ]
    assert not wrong


def _is_print(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def _is_stdout(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Attribute) and node.attr in ("stdout", "__stdout__") and ast.unparse(node.value) == "sys"
    )


def test_no_file_names_the_place_where_it_was_written() -> None:
    wrong = [
        f"{shown(file)}: {match[0]}"
        for file in files()
        if file.suffix != ".gguf" and (match := WORKPLACE.search(_text(file)))
    ]
    assert not wrong


@pytest.mark.skipif(not (ROOT / "uv.lock").exists(), reason="a source distribution has no lock file")
def test_the_lock_file_names_only_the_public_index() -> None:
    hosts = set(re.findall(r'"https?://([^/"]+)', _text(ROOT / "uv.lock")))
    assert hosts and hosts <= INDEXES


def test_every_package_and_module_of_the_core_says_what_it_is() -> None:
    missing = [
        shown(file) for file in files("ollama_mcp", "tools", pattern="*.py") if not ast.get_docstring(parsed(file))
    ]
    assert not missing
