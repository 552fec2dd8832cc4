"""MCP server for Ollama: the core package, and the public face that tool files import from."""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # of typing, whose import a start does not wait for
if TYPE_CHECKING:
    from typing import Any

    from ollama_mcp.errors import InvalidArgument as InvalidArgument
    from ollama_mcp.errors import NotAllowed as NotAllowed
    from ollama_mcp.server.call import Call as Call
    from ollama_mcp.server.registry import CHANGES as CHANGES
    from ollama_mcp.server.registry import DESTROYS as DESTROYS
    from ollama_mcp.server.registry import DOWNLOADS as DOWNLOADS
    from ollama_mcp.server.registry import INFERS as INFERS
    from ollama_mcp.server.registry import PUBLISHES as PUBLISHES
    from ollama_mcp.server.registry import READS as READS
    from ollama_mcp.server.registry import SEARCHES as SEARCHES
    from ollama_mcp.server.registry import Hints as Hints
    from ollama_mcp.server.registry import tool as tool
    from ollama_mcp.server.results import Data as Data
    from ollama_mcp.work.chat.result import Answer as Answer

__version__ = "0.2.0"

_HOMES = {
    "Answer": "work.chat.result",
    "CHANGES": "server.registry",
    "Call": "server.call",
    "DESTROYS": "server.registry",
    "DOWNLOADS": "server.registry",
    "Data": "server.results",
    "Hints": "server.registry",
    "INFERS": "server.registry",
    "InvalidArgument": "errors",
    "NotAllowed": "errors",
    "PUBLISHES": "server.registry",
    "READS": "server.registry",
    "SEARCHES": "server.registry",
    "tool": "server.registry",
}
__all__ = ["__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]  # names resolved by __getattr__


def __getattr__(name: str) -> Any:
    # Lazy, so that importing one piece of the core does not import all of it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
