"""What a search at any depth leaves out: dependencies, build results, and what .gitignore files exclude."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ollama_mcp.access import Access, FoundFiles, Purpose
from ollama_mcp.settings.access import UrlSettings
from tests.access.conftest import Machine, put

DEPENDENCIES, IGNORED = "dependency or build folders", "ignored by .gitignore"


@pytest.fixture
def project(machine: Machine) -> Path:
    for name in (
        *("pyproject.toml", "src/app.js", "node_modules/x/a.js", "src/node_modules/b.js", "lib/venv/c.js", "dist/d.js"),
        *("tools/env/pyvenv.cfg", "tools/env/e.js", "rust/Cargo.toml", "rust/target/f.js", "notes/build/g.js"),
        *("notes/dist/h.js", "caches/CACHEDIR.TAG", "caches/i.js"),
    ):
        put(machine.work / name, "ok")
    return machine.work


def find(machine: Machine, pattern: str) -> FoundFiles:
    return Access(machine.rules(), UrlSettings()).find(pattern, Purpose.TEXT, 100)


def names(found: FoundFiles, folder: Path) -> list[str]:
    return [os.path.relpath(path, folder) for path in found.paths]


@pytest.mark.parametrize("pattern", ["**/*.js", "**", "."])
def test_folders_of_dependencies_and_builds_are_left_out_and_counted(
    machine: Machine, project: Path, pattern: str
) -> None:
    found = find(machine, pattern)
    scripts = [name for name in names(found, project) if name.endswith(".js")]
    # `build` and `dist` hold the user's own files where nothing beside them builds.
    assert scripts == ["notes/build/g.js", "notes/dist/h.js", "src/app.js"]
    assert found.skipped == {DEPENDENCIES: 7}
    assert found.note == "7 dependency or build folders (named in the path, they are read)"
    assert not found.has_refused


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("node_modules/**/*.js", ["node_modules/x/a.js"]),
        ("node_modules", ["node_modules/x/a.js"]),
        ("**/node_modules/**", ["node_modules/x/a.js", "src/node_modules/b.js"]),
        ("dist/*.js", ["dist/d.js"]),
        ("*/*.js", ["caches/i.js", "dist/d.js", "src/app.js"]),
        ("tools/env", ["tools/env/e.js", "tools/env/pyvenv.cfg"]),
        ("rust/**/target/*.js", ["rust/target/f.js"]),
    ],
)
def test_what_the_pattern_names_is_found(machine: Machine, project: Path, pattern: str, expected: list[str]) -> None:
    assert names(find(machine, pattern), project) == expected


def test_a_link_to_dependencies_is_left_out_too(machine: Machine, project: Path) -> None:
    put(machine.work / "shared" / "z.js", "ok")
    (project / "docs").mkdir()
    (project / "docs" / "node_modules").symlink_to(machine.work / "shared")
    found = find(machine, "docs/**")
    assert (found.total, found.skipped) == (0, {DEPENDENCIES: 1})


def test_what_gitignore_files_exclude_is_left_out_and_counted(machine: Machine) -> None:
    for name in (
        "a.md",
        "b.log",
        "out/c.md",
        "sub/d.log",
        "sub/keep.log",
        "sub/e.md",
        "sub/deep/e.md",
        "sub/deep/f.tmp",
    ):
        put(machine.work / name, "ok")
    put(machine.work / ".gitignore", "*.log\nout/\n*.tmp\n")
    put(machine.work / "sub" / ".gitignore", "!keep.log\n/e.md\n")
    (machine.work / ".git").mkdir()
    put(machine.work / "pyproject.toml", "")
    found = find(machine, "**")
    assert names(found, machine.work) == ["a.md", "pyproject.toml", "sub/deep/e.md", "sub/keep.log"]
    assert found.skipped[IGNORED] == 5
    # Files above the folder that is searched count as well.
    assert names(find(machine, "sub"), machine.work) == ["sub/deep/e.md", "sub/keep.log"]
    # Only what matches is counted.
    assert find(machine, "**/*.tmp").skipped == {"hidden or program-owned": 1, IGNORED: 2}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.log", ["a.log"]),
        ("out/*.md", ["out/b.md"]),
        ("out", ["out/b.md", "out/c.log"]),
        ("out/**", ["out/b.md", "out/c.log"]),
        ("**/out/*.md", ["out/b.md"]),
        ("**/a.log", ["a.log"]),
        ("**/*.log", []),
    ],
)
def test_what_is_ignored_is_found_where_it_is_named(machine: Machine, pattern: str, expected: list[str]) -> None:
    for name in ("a.log", "out/b.md", "out/c.log"):
        put(machine.work / name, "ok")
    put(machine.work / ".gitignore", "*.log\nout/\n")
    put(machine.work / ".git" / "HEAD", "")
    assert names(find(machine, pattern), machine.work) == expected


def test_secrets_stay_counted_as_secrets_and_a_gitignore_link_is_not_followed(machine: Machine) -> None:
    put(machine.work / "pyproject.toml", "")
    put(machine.work / "a.md", "ok")
    put(machine.work / "id_rsa")
    put(machine.work / ".gitignore", "id_rsa\n")
    put(machine.work / "sub" / "b.md", "ok")
    put(machine.outside / "rules", "*.md\n")
    (machine.work / "sub" / ".gitignore").symlink_to(machine.outside / "rules")
    found = find(machine, "**")
    assert names(found, machine.work) == ["a.md", "pyproject.toml", "sub/b.md"]
    assert IGNORED not in found.skipped
    assert found.skipped["named like a key"] == 1
    assert found.has_refused
