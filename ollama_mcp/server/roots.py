"""The folders that a client on stdio declares as its roots."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp.types import ListRootsRequest, ListRootsResult

from ollama_mcp.access import path_of_file_uri
from ollama_mcp.errors import OllamaMCPError

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

_SECONDS = 5.0


async def roots_of(context: Context[None, Any] | None) -> tuple[str, ...]:
    """Paths of the client's roots; none where it declares none, cannot be asked, or does not answer in time.

    Clients of protocol 2026-07-28 cannot be asked: the capability is deprecated there.
    """
    capabilities = context.client_capabilities if context is not None else None
    if context is None or capabilities is None or capabilities.roots is None or not context.session.can_send_request:
        return ()
    try:
        async with asyncio.timeout(_SECONDS):
            answer = await context.session.send_request(ListRootsRequest(), ListRootsResult)
    except (MCPError, TimeoutError):
        return ()
    return tuple(path for root in answer.roots if (path := _path(str(root.uri))))


def _path(uri: str) -> str:
    try:
        return path_of_file_uri(uri)
    except OllamaMCPError:
        return ""
