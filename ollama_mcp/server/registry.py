"""The tool decorator, and the loader of tool files: the shipped tools/ folder, then the user's own folders."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ollama_mcp._paths import shipped_path
from ollama_mcp.settings.model import TOOLSETS

log = logging.getLogger(__name__)

ToolFunction = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Hints:
    """What a host may know of a tool before it asks the user: all four MCP hints, always explicit.

    Args:
        read_only: Changes nothing that the user owns (loading a model into memory is a cache effect).
        destructive: May delete or overwrite.
        idempotent: A second equal call changes nothing more.
        open_world: Reaches beyond the user's own Ollama.
        opens_with_urls: Open world as soon as the settings allow URLs in arguments.
        only_writes_output: Changes nothing but the file that an argument names, which is not offered
            (`RequiresSetting`) where the settings are read-only; the tool is then.
        resumes: The same call goes on where an earlier one was stopped.
    """

    read_only: bool
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False
    opens_with_urls: bool = False
    only_writes_output: bool = False
    resumes: bool = False


READS = Hints(read_only=True, idempotent=True)
INFERS = Hints(read_only=True, opens_with_urls=True)
CHANGES = Hints(read_only=False, idempotent=True)
DOWNLOADS = Hints(read_only=False, idempotent=True, open_world=True, resumes=True)
DESTROYS = Hints(read_only=False, destructive=True, idempotent=True)
PUBLISHES = Hints(read_only=False, destructive=True, idempotent=True, open_world=True, resumes=True)
SEARCHES = Hints(read_only=True, open_world=True)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A registered tool: the function carries name, arguments and description."""

    function: ToolFunction
    title: str
    toolset: str
    hints: Hints

    @property
    def name(self) -> str:
        """The tool's name on the wire: the function's name."""
        return self.function.__name__

    @property
    def description(self) -> str:
        """What the agent reads: the first paragraph of the docstring, on one line."""
        doc = self.function.__doc__ or ""
        return " ".join(doc.strip().split("\n\n", 1)[0].split())


# The decorator fills it while the loader executes a tool file; the loader takes the specs out again.
_collected: list[ToolSpec] = []


def tool(*, title: str, toolset: str, hints: Hints) -> Callable[[ToolFunction], ToolFunction]:
    """Register an async function as an MCP tool.

    The signature is the input schema, the docstring's first paragraph the description, the return annotation
    (`Answer`, or a `Data` model) the output. A parameter annotated `Call` receives the call's context.

    Args:
        title: Human-readable name, shown by hosts.
        toolset: The toolset that offers it.
        hints: One of READS, INFERS, CHANGES, ... or an own Hints.
    """

    def register(function: ToolFunction) -> ToolFunction:
        _collected.append(ToolSpec(function, title, toolset, hints))
        return function

    return register


def load_tools(folders: Iterable[str] = ()) -> dict[str, ToolSpec]:
    """All tools by name, in the order of the toolsets, then of files and definitions.

    A user's file never replaces a built-in tool, and one that fails is skipped with one line on stderr.
    """
    specs = dict(_shipped_tools())
    for folder in folders:
        path = Path(folder).expanduser()
        for spec in _load_folder(path, f"ollama_mcp.user_tools.{path.name}_", strict=False):
            if spec.name in specs:
                log.warning("tool %r of %s is skipped: a tool of that name is there already", spec.name, path)
            else:
                specs[spec.name] = spec
    return specs


@cache
def _shipped_tools() -> dict[str, ToolSpec]:
    """The shipped tools; their files are executed once a process, however many servers it makes."""
    specs = _load_folder(shipped_path("tools"), "ollama_mcp.tools.", strict=True)
    order = {toolset: place for place, toolset in enumerate(TOOLSETS)}
    return {spec.name: spec for spec in sorted(specs, key=lambda spec: order[spec.toolset])}


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
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _collected.clear()
    spec.loader.exec_module(module)
    return _collected.copy()
