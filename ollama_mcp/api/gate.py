"""Refuses what a server is too old for, asking its version only where that matters."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from ollama_mcp.api.exchange import Call
from ollama_mcp.api.needs import needed
from ollama_mcp.api.responses import VersionAnswer
from ollama_mcp.api.versions import parse_version
from ollama_mcp.errors import UnsupportedByVersion

if TYPE_CHECKING:
    from ollama_mcp.api.failures import Where
    from ollama_mcp.api.requests import Request
    from ollama_mcp.api.versions import Feature, ServerVersion
    from ollama_mcp.api.wire import Wire
    from ollama_mcp.errors import ApiError

# A server may be updated while we run.
_KEPT_SECONDS = 60.0
_ASK = Call("GET", "/api/version", idempotent=True)


class VersionGate:
    """Knows a host's version, as of at most a minute ago."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._known: tuple[float, ServerVersion] | None = None
        self._asking = asyncio.Lock()

    async def version(self) -> ServerVersion:
        """The version; many callers at once cause one request."""
        async with self._asking:
            if self._known is not None and monotonic() - self._known[0] < _KEPT_SECONDS:
                return self._known[1]
            return await self.ask()

    async def ask(self) -> ServerVersion:
        """The version, asked now."""
        answer = await self._wire.document(_ASK, VersionAnswer)
        version = parse_version(answer.version)
        self._known = monotonic(), version
        return version

    async def check(self, request: Request, path: str) -> bool:
        """Whether the answer must be checked for what was asked, since the server's version says nothing.

        Raises:
            UnsupportedByVersion: The server is older than something that the request needs.
        """
        features = needed(request)
        if not features:
            return False
        version = await self.version()
        for feature in features:
            if not version.supports(feature):
                raise lacking(self._wire.where(Call("POST", path)), feature, version)
        return not version.known


def lacking(where: Where, feature: Feature, version: ServerVersion | None = None) -> ApiError:
    """The error of a feature that the server is too old for, or, without a version, that it was seen to ignore."""
    what = f"is Ollama {version}" if version is not None else "ignored it"
    return where.error(
        UnsupportedByVersion,
        f"{feature.title} came with Ollama {feature.since_text}; {where.place} {what}.",
        "Update Ollama on that host, or leave that argument out.",
    )
