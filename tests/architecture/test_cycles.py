"""No two files of the core import each other, directly or through others: a reader goes down, never in a circle.

Imports inside functions count, since they run; those for type checkers alone do not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tree import ROOT, files, parsed, shown

CORE = files("ollama_mcp", pattern="*.py")


def module_name(file: Path) -> str:
    """The dotted name of a file's module."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def runtime_imports(tree: ast.Module, modules: set[str]) -> set[str]:
    """The modules of the core that a file imports when it runs."""
    found: set[str] = set()
    for node in _outside_type_checking(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                # `from package import module` runs the module; `from module import name` runs the module alone.
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules else node.module or "")
    return found & modules


def _outside_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _outside_type_checking(child)


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one cycle, in their order; empty where there is none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        path.append(module)
        for target in sorted(graph[module]):
            if cycle := visit(target):
                return cycle
        done.add(path.pop())
        return []

    for module in sorted(graph):
        if cycle := visit(module):
            return cycle
    return []


def test_no_files_of_the_core_import_each_other_in_a_cycle() -> None:
    names = {module_name(file): file for file in CORE}
    graph = {name: runtime_imports(parsed(file), set(names)) - {name} for name, file in names.items()}
    cycle = cycle_in(graph)
    assert not cycle, " -> ".join(shown(names[name]) for name in cycle)


def test_a_cycle_through_an_import_inside_a_function_is_seen() -> None:
    tree = ast.parse("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import b\ndef late():\n    import a\n")
    assert runtime_imports(tree, {"a", "b"}) == {"a"}
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "a"]
    assert not cycle_in({"a": {"b"}, "b": set(), "c": {"a"}})
