"""What Ollama could do since when: the one place for differences between its versions.

Older servers ignore request fields that they do not know, so a field that matters is checked here before it is sent.
Source: Ollama's release notes and the recorded answers of v0.5.7, v0.17.7 and v0.33.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

_NUMBERS = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


class Feature(Enum):
    """Something that came with a version: (first version, what it is called in a message)."""

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
        """First version that has it."""
        return self.value[0]

    @property
    def since_text(self) -> str:
        """First version that has it, as text: "0.12.11"."""
        return ".".join(map(str, self.since))

    @property
    def title(self) -> str:
        """What it is called in a message."""
        return self.value[1]


# The first version that no longer makes a model of safetensors (release notes).
SAFETENSORS_GONE = (0, 35, 0)

# Routes that answer "404 page not found" where the server is older.
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
    """A server's version; compares by its numbers. 0.0.0 (a local build) and unreadable ones are not `known`."""

    numbers: tuple[int, int, int]
    text: str = field(compare=False)

    @property
    def known(self) -> bool:
        """Whether the numbers say anything."""
        return self.numbers != (0, 0, 0)

    def supports(self, feature: Feature) -> bool:
        """Whether the server has the feature; True where its version is not known, so the server gets asked."""
        return not self.known or self.numbers >= feature.since

    def __str__(self) -> str:
        return self.text


def parse_version(text: str) -> ServerVersion:
    """Read "0.33.0", "v0.12.0-rc1", "0.35" or "0.33.0-simulator"; a suffix does not count, nonsense is 0.0.0."""
    match = _NUMBERS.match(text.strip())
    if match is None:
        return ServerVersion((0, 0, 0), text)
    return ServerVersion((int(match[1]), int(match[2]), int(match[3] or 0)), text)
