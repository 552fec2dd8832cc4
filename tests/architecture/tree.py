"""The project's files, and what each Python file imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FOLDERS = ("ollama_mcp", "tools", "prompts", "tests", "bench", "docs", ".ci")


class Import(NamedTuple):
    """One imported name.

    Args:
        module: The module, absolute: "ollama_mcp.api".
        name: What is taken from it; "" for `import module`.
        line: Where it stands.
    """

    module: str
    name: str
    line: int


def files(*folders: str, pattern: str = "*") -> list[Path]:
    """The files below folders of the project, or all of it, that fit a pattern; nothing that is made by running it."""
    roots = folders or FOLDERS
    found = [file for folder in roots for file in (ROOT / folder).rglob(pattern)]
    if not folders:
        # Coverage writes its files there while the tests run; in a linked worktree `.git` is a file.
        found += [file for file in ROOT.glob(pattern) if not file.name.startswith(".coverage") and file.name != ".git"]
    return sorted(file for file in found if file.is_file() and "__pycache__" not in file.parts)


def shown(file: Path) -> str:
    """A file's path in the project, with slashes."""
    return file.relative_to(ROOT).as_posix()


@cache
def parsed(file: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


@cache
def imports(file: Path, root: Path = ROOT) -> list[Import]:
    """All imports of a file: at its top, inside functions and for type checkers only."""
    return [*_imports(file, root)]


def _imports(file: Path, root: Path) -> Iterator[Import]:
    for node in _statements(parsed(file).body):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(file.relative_to(root), node)
            yield from (Import(module, alias.name, node.lineno) for alias in node.names)


def _statements(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """All statements: no expression has an import in it, and most of a tree is expressions."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, part, ()))


def _absolute(file: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = file.parts[: -node.level]
    return ".".join((*package, node.module) if node.module else package)
