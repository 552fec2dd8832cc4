"""The arrows between the packages: cli -> server -> work -> (hosts, media, store) -> (api, access) -> formats.

Settings, errors and the clock lie below all. Imports for type checkers only are held to the same arrows: who names a
type of a higher layer knows that layer, and nothing in the project needs it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, Import, files, imports, shown

LAYERS = (
    {"errors", "clock", "_paths", "_project", "front"},
    {"_command"},
    {"settings"},
    {"formats"},
    {"api", "access"},
    {"hosts", "media", "store"},
    {"work"},
    {"fleet"},
    {"server"},
    {"cli"},
    {"__main__"},
)
RANKS = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
BELOW_ALL = {"errors", "clock", "_paths", "_project", "_command", "settings", "front"}
CORE = [file for file in files("ollama_mcp", pattern="*.py") if file != ROOT / "ollama_mcp/__init__.py"]

# Beside the public face, formats and work, what a tool may need: request types, argument types, words for a result.
OF_TOOLS = {
    "ollama_mcp.api",
    "ollama_mcp.errors",
    "ollama_mcp.hosts.model_cards",
    "ollama_mcp.hosts.vulnerabilities",
    "ollama_mcp.server.model_creation",
    "ollama_mcp.server.failures",
    "ollama_mcp.server.job",
    "ollama_mcp.server.transfers",
    "ollama_mcp.server.formatting",
    "ollama_mcp.server.types",
    "ollama_mcp.server.usage_report",
}


def part_of(file: Path) -> str:
    """The part of the core that a file belongs to: "api" for ollama_mcp/api/client.py, "errors" for errors.py."""
    return file.relative_to(ROOT / "ollama_mcp").parts[0].removesuffix(".py")


def target_of(found: Import) -> str | None:
    """The part of the core that an import reaches; "" for the public face, None for what is not ours."""
    top, *rest = found.module.split(".")
    if top != "ollama_mcp":
        return None
    if rest:
        return rest[0]
    return found.name if found.name in {*RANKS, "simulator"} else ""


def is_allowed(source: str, target: str) -> bool:
    """Whether one part of the core may import from another."""
    if source == target or (target in BELOW_ALL and RANKS[target] < RANKS.get(source, 99)):
        return True
    if source == "simulator" or target == "simulator":
        return (source, target) in {("simulator", "formats"), ("cli", "simulator")}
    return RANKS[target] < RANKS[source]


def test_every_part_of_the_core_has_its_place_in_the_layers() -> None:
    assert {part_of(file) for file in CORE} <= {*RANKS, "simulator"}


@pytest.mark.parametrize("part", sorted({part_of(file) for file in CORE}))
def test_imports_of_the_core_follow_the_arrows(part: str) -> None:
    wrong = [
        f"{shown(file)}:{found.line} imports {found.module} {found.name}".strip()
        for file in CORE
        if part_of(file) == part
        for found in imports(file)
        if (target := target_of(found)) and not is_allowed(part, target)
    ]
    assert not wrong


def test_the_core_takes_only_the_version_from_the_public_face() -> None:
    # The face stands for the server's names, so through it any layer could reach the top.
    wrong = [
        f"{shown(file)}:{found.line} takes {found.name or 'everything'}"
        for file in CORE
        for found in imports(file)
        if target_of(found) == "" and found.name != "__version__" and not _asks_where_it_lies(file, found)
    ]
    assert not wrong


def _asks_where_it_lies(file: Path, found: Import) -> bool:
    return part_of(file) == "cli" and found == Import("ollama_mcp", "", found.line)


@pytest.mark.parametrize("file", files("tools", pattern="*.py"), ids=shown)
def test_a_tool_imports_the_public_face_and_little_else(file: Path) -> None:
    ours = [found for found in imports(file) if found.module.split(".")[0] == "ollama_mcp"]
    wrong = [
        f"line {found.line}: {found.module} {found.name}"
        for found in ours
        if found.module != "ollama_mcp"
        and found.module not in OF_TOOLS
        and not {"formats", "work"} & set(found.module.split(".")[:2])
    ]
    assert ours
    assert not wrong


def test_nothing_imports_a_tool_file() -> None:
    # They are loaded by path: an import by name would find another copy, or another distribution's `tools`.
    wrong = [
        f"{shown(file)}:{found.line}"
        for file in files(pattern="*.py")
        if "tools" in file.read_text(encoding="utf-8")
        for found in imports(file)
        if found.module.split(".")[0] == "tools" or found.module.startswith("ollama_mcp.tools")
    ]
    assert not wrong


def test_tools_and_prompts_are_no_packages() -> None:
    assert not [shown(file) for file in files("tools", "prompts", pattern="__init__.py")]


@pytest.mark.parametrize(
    ("source", "target", "allowed"),
    [
        ("server", "hosts", True),
        ("hosts", "settings", True),
        ("hosts", "server", False),
        ("hosts", "media", False),
        ("api", "access", False),
        ("formats", "settings", True),
        ("settings", "formats", False),
        ("errors", "settings", False),
        ("simulator", "formats", True),
        ("simulator", "errors", True),
        ("simulator", "api", False),
        ("server", "simulator", False),
        ("cli", "simulator", True),
    ],
)
def test_the_arrows_are_the_designed_ones(source: str, target: str, allowed: bool) -> None:
    assert is_allowed(source, target) is allowed


def test_imports_inside_functions_and_for_type_checkers_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "ollama_mcp" / "api" / "odd.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from ollama_mcp.server import app\n"
        "def late():\n    import ollama_mcp.cli\n    from ..media import images\n    from . import wire\n"
    )
    assert [found[:2] for found in imports(file, tmp_path)] == [
        ("typing", "TYPE_CHECKING"),
        ("ollama_mcp.server", "app"),
        ("ollama_mcp.cli", ""),
        ("ollama_mcp.media", "images"),
        ("ollama_mcp.api", "wire"),
    ]
