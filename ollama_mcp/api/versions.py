"""Differences between Ollama's versions: which version introduced what, and the check before a request.

Older servers ignore request fields that they do not know, so a field that matters is checked here before it is sent.
Source: Ollama's release notes and the recorded responses of v0.5.7, v0.17.7 and v0.33.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING

from ollama_mcp.errors import ApiError, UnsupportedByVersion

if TYPE_CHECKING:
    from ollama_mcp.api.http_session import RequestInfo

# A server may be updated while this process runs.
_CACHE_SECONDS = 60.0
_NUMBERS = re.compile(r"v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?")


class Feature(Enum):
    """A feature that a version introduced: (first version, its name in messages)."""

    EMBED = ((0, 2, 6), "POST /api/embed")
    FORMAT_SCHEMA = ((0, 5, 0), "a JSON Schema as format")
    CREATE = ((0, 5, 5), "creating a model from 'from', 'files' or 'adapters'")
    THINK = ((0, 9, 0), "think")
    THINK_LEVEL = ((0, 11, 1), "think as a level")
    DIMENSIONS = ((0, 11, 11), "dimensions")
    ME = ((0, 12, 0), "POST /api/me")
    CREATE_RENDERER = ((0, 12, 0), "renderer, parser, remote_host and info of create")
    TRUNCATE_SHIFT = ((0, 12, 6), "truncate and shift")
    LOGPROBS = ((0, 12, 11), "logprobs")
    CREATE_REQUIRES = ((0, 14, 0), "requires of create")
    STATUS = ((0, 16, 2), "GET /api/status")
    WEB = ((0, 18, 0), "web search and fetch")
    RECOMMENDATIONS = ((0, 22, 1), "GET /api/experimental/model-recommendations")
    CREATE_DRAFT = ((0, 30, 0), "draft_files and draft_quantize of create")
    SYSTEMONE = ((0, 35, 0), "POST /v1/systemone")
    CREATE_CAPABILITIES = ((0, 35, 0), "capabilities of create")
    SYSTEMONE_IMAGES = ((0, 35, 1), "images in POST /v1/systemone")

    @property
    def since(self) -> tuple[int, int, int]:
        """The first version that has it."""
        return self.value[0]

    @property
    def since_text(self) -> str:
        """The first version that has it, as text: "0.12.11"."""
        return ".".join(map(str, self.since))

    @property
    def title(self) -> str:
        """Its name in messages."""
        return self.value[1]


# The first version that no longer creates a model from safetensors files (release notes).
SAFETENSORS_REMOVED = (0, 35, 0)

# Routes that an older server answers with "404 page not found".
ROUTES: dict[str, Feature] = {
    "/api/embed": Feature.EMBED,
    "/api/me": Feature.ME,
    "/api/status": Feature.STATUS,
    "/api/experimental/web_search": Feature.WEB,
    "/api/experimental/web_fetch": Feature.WEB,
    "/api/experimental/model-recommendations": Feature.RECOMMENDATIONS,
    "/v1/systemone": Feature.SYSTEMONE,
}


@dataclass(frozen=True, order=True, slots=True)
class ServerVersion:
    """A server's version, compared by its numbers; 0.0.0 (a local build) and unreadable ones are not `known`."""

    numbers: tuple[int, int, int]
    text: str = field(compare=False)

    @property
    def known(self) -> bool:
        """Whether the numbers mean anything."""
        return self.numbers != (0, 0, 0)

    def supports(self, feature: Feature) -> bool:
        """Whether the server has the feature; True for an unknown version, so that the server decides."""
        return not self.known or self.numbers >= feature.since

    def __str__(self) -> str:
        return self.text


def parse_version(text: str) -> ServerVersion:
    """Parse "0.33.0", "v0.12.0-rc1", "0.35" or "0.33.0-simulator"; suffixes are ignored, other text is 0.0.0."""
    match = _NUMBERS.match(text.strip())
    if match is None:
        return ServerVersion((0, 0, 0), text)
    return ServerVersion((int(match[1]), int(match[2]), int(match[3] or 0)), text)


class VersionGate:
    """Refuses requests that a server is too old for; keeps its version for a minute.

    Args:
        fetch: Asks the server for its version.
    """

    def __init__(self, fetch: Callable[[], Awaitable[str]]) -> None:
        self._fetch = fetch
        self._cached: tuple[float, ServerVersion] | None = None
        self._lock = asyncio.Lock()

    async def version(self) -> ServerVersion:
        """The version; concurrent callers share one request."""
        async with self._lock:
            if self._cached is not None and monotonic() - self._cached[0] < _CACHE_SECONDS:
                return self._cached[1]
            return await self.refresh()

    async def refresh(self) -> ServerVersion:
        """The version, asked for now."""
        version = parse_version(await self._fetch())
        self._cached = monotonic(), version
        return version

    async def check(self, features: Sequence[Feature], request: RequestInfo) -> bool:
        """Whether the response has to be checked for the features, since the server's version is unknown.

        Raises:
            UnsupportedByVersion: The server is older than one of the features.
        """
        was_known = self._cached is not None
        version = await self.version()
        if was_known and not all(map(version.supports, features)):
            # The user may have updated it, as an earlier refusal told them to.
            version = await self.refresh()
        for feature in features:
            if not version.supports(feature):
                raise unsupported_feature(request, feature, version)
        return not version.known


def unsupported_feature(request: RequestInfo, feature: Feature, version: ServerVersion | None = None) -> ApiError:
    """The error of a feature that the server is too old for, or, without a version, that it was seen to ignore."""
    reason = f"is Ollama {version}" if version is not None else "ignored it"
    return request.error(
        UnsupportedByVersion,
        f"{feature.title} needs Ollama {feature.since_text} or later; {request.host_label} {reason}.",
        "Update Ollama on that host, or omit that argument.",
    )
