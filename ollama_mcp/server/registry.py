"""The tool decorator, and the loader of tool files: the shipped tools/ folder, then the user's own folders."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import unicodedata
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
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
        resumes: The same call resumes where an earlier one was stopped.
        restarts: A job that its server left begins again with the next one: nothing is lost by that but time.
        on_one_host: Changes what a host has, so that of several one must be named.
    """

    read_only: bool
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False
    opens_with_urls: bool = False
    only_writes_output: bool = False
    resumes: bool = False
    restarts: bool = False
    on_one_host: bool = False


READS = Hints(read_only=True, idempotent=True)
INFERS = Hints(read_only=True, opens_with_urls=True)
CHANGES = Hints(read_only=False, idempotent=True)
DOWNLOADS = Hints(read_only=False, idempotent=True, open_world=True, resumes=True, on_one_host=True)
DESTROYS = Hints(read_only=False, destructive=True, idempotent=True, on_one_host=True)
PUBLISHES = Hints(read_only=False, destructive=True, idempotent=True, open_world=True, resumes=True, on_one_host=True)
SEARCHES = Hints(read_only=True, open_world=True)

USER_TOOLS = "ollama_mcp.user_tools."
"""What the names of modules begin with that are loaded from the user's folders of tools."""


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


# Characters that are taken for others, each with the one that stands for it: digits, then Greek and Cyrillic letters.
_LOOKALIKES = str.maketrans(
    "01I|i!35\u03b1\u03b9\u03bd\u03bf\u03c1\u0391\u0395\u0397\u0399\u039c\u039f\u03a1\u03a4"
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0455\u0456\u0458\u04cf\u0501\u0261\u0131"
    "\u0410\u0415\u041d\u0406\u041c\u041e\u0420\u0421\u0422",
    "olllllesalvopaehlmoptaeopcyxsljldglaehlmopct",
)
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

    A user's file never replaces a built-in tool nor has a name that reads like one: both are skipped with one line on
    stderr, as is a file that fails.
    """
    specs = dict(_shipped_tools())
    looks = {_skeleton(name): name for name in specs}
    for folder in folders:
        path = Path(folder).expanduser()
        _warn_of_others(path)
        for spec in _load_folder(path, f"{USER_TOOLS}{path.name}_", strict=False):
            if spec.name in specs:
                log.warning("tool %r of %s is skipped: a tool of that name already exists", spec.name, path)
            elif original := looks.get(_skeleton(spec.name)):
                log.warning("tool %r of %s is skipped: it reads like the built-in %s", spec.name, path, original)
            else:
                specs[spec.name] = spec
    return specs


def _warn_of_others(folder: Path) -> None:
    """Say where other users could put their code into this process."""
    if sys.platform == "win32":
        return
    for one in (folder, *sorted(folder.glob("*.py"))):
        with suppress(OSError):
            found = one.stat()
            # A sticky folder, such as /tmp, lets others add files too.
            if found.st_mode & 0o022 or found.st_uid not in (0, os.getuid()):
                log.warning("others can write %s, whose code runs with your permissions: chmod go-w, chown", one)


def _skeleton(name: str) -> str:
    """What is left of a name without the differences that a reader overlooks; equal for names that look alike."""
    letters = unicodedata.normalize("NFKD", name.translate(_LOOKALIKES)).casefold().translate(_LOOKALIKES)
    return "".join(filter(str.isalnum, letters)).replace("rn", "m").replace("vv", "w")


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
