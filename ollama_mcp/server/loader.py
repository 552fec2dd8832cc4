"""Loads tool files by path: the shipped tools/ folder, then the user's own folders."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterable
from pathlib import Path

from ollama_mcp._paths import shipped
from ollama_mcp.server import registry
from ollama_mcp.server.registry import ToolSpec
from ollama_mcp.settings.model import TOOLSETS

log = logging.getLogger(__name__)


def load_tools(folders: Iterable[str] = ()) -> dict[str, ToolSpec]:
    """All tools by name, in the order of the toolsets, then of files and definitions.

    A user's file never replaces a built-in tool, and one that fails is skipped with one line on stderr.
    """
    specs = {spec.name: spec for spec in _load_folder(shipped("tools"), "ollama_mcp.tools.", strict=True)}
    order = {toolset: place for place, toolset in enumerate(TOOLSETS)}
    specs = dict(sorted(specs.items(), key=lambda item: order[item[1].toolset]))
    for folder in folders:
        path = Path(folder).expanduser()
        for spec in _load_folder(path, f"ollama_mcp.user_tools.{path.name}_", strict=False):
            if spec.name in specs:
                log.warning("tool %r of %s is skipped: a tool of that name is there already", spec.name, path)
            else:
                specs[spec.name] = spec
    return specs


def _load_folder(folder: Path, prefix: str, *, strict: bool) -> list[ToolSpec]:
    found: list[ToolSpec] = []
    for file in sorted(folder.glob("*.py")):
        if file.name.startswith("_"):
            continue
        try:
            found += _load_file(file, prefix + file.stem)
        except Exception as error:
            if strict:
                raise
            log.warning("tool file %s is skipped: %s: %s", file, type(error).__name__, str(error).partition("\n")[0])
    return found


def _load_file(file: Path, name: str) -> list[ToolSpec]:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    registry.collected.clear()
    spec.loader.exec_module(module)
    return registry.collected.copy()
