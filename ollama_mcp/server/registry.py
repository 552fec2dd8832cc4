"""The tool decorator, and what it keeps of each tool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

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
        only_writes_output: Changes nothing but the file that an argument names, which is not offered (`OnlyWhere`)
            where the settings are read-only; the tool is then.
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


# Filled while the loader runs a tool file; the loader takes the specs out again.
collected: list[ToolSpec] = []


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
        collected.append(ToolSpec(function, title, toolset, hints))
        return function

    return register
