"""The MCP extensions that this server declares to its clients, and the methods that they add.

Each is made at every start, so what answers a method is imported with the first request for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mcp.server.extension import Extension, MethodBinding
from mcp.types import PaginatedRequestParams, ReadResourceRequestParams

from ollama_mcp.server.tasks.extension import TasksExtension

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

    from ollama_mcp.server.app import OllamaServer


class Skills(Extension):
    """io.modelcontextprotocol/skills: the shipped skills. Their files are resources like any other."""

    identifier = "io.modelcontextprotocol/skills"

    def methods(self) -> Sequence[MethodBinding]:
        """The two methods that are required of a server; directories cannot be read."""
        return (
            MethodBinding("skills/list", PaginatedRequestParams, _list_skills),
            MethodBinding("skills/get", ReadResourceRequestParams, _get_skill),
        )


async def _list_skills(context: ServerRequestContext[Any, Any], params: PaginatedRequestParams) -> dict[str, Any]:
    from ollama_mcp.server.guidance.skills import list_skills

    return await list_skills(params.cursor)


async def _get_skill(context: ServerRequestContext[Any, Any], params: ReadResourceRequestParams) -> dict[str, Any]:
    from ollama_mcp.server.guidance.skills import get_skill

    return await get_skill(params.uri)


# By identifier: what makes the extension for a server, whose attributes before `MCPServer.__init__` are set.
EXTENSIONS: dict[str, Callable[[OllamaServer], Extension]] = {
    Skills.identifier: lambda server: Skills(),
    TasksExtension.identifier: TasksExtension,
}


def extensions_of(server: OllamaServer) -> list[Extension]:
    """The extensions of a server, made for it."""
    return [make(server) for make in EXTENSIONS.values()]
