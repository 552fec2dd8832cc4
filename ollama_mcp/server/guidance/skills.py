"""The skills of the shipped folder skills/: the text of their files, and their entries as the MCP extension has them.

They are read once, so that the digests of a process always fit what it serves.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS

from ollama_mcp._paths import shipped_path

_HEAD = re.compile(r"---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)
# The same for all users, and fixed for as long as the process lives.
_CACHING = {"resultType": "complete", "ttlMs": 300_000, "cacheScope": "public"}


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill.

    Args:
        uri: Of its SKILL.md.
        front_matter: All fields of the front matter of SKILL.md.
        files: The text of each file by its URI.
    """

    uri: str
    front_matter: Mapping[str, str]
    files: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its name."""
        return self.front_matter["name"]

    @property
    def description(self) -> str:
        """What it teaches, and when to read it."""
        return self.front_matter["description"]

    def entry(self) -> dict[str, Any]:
        """Its entry as the protocol has it: the front matter, and the digest and size of each file."""
        contents = {uri: text.encode() for uri, text in self.files.items()}
        return {
            "uri": self.uri,
            "frontmatter": dict(self.front_matter),
            "resources": [
                {"uri": uri, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}
                for uri, content in contents.items()
            ],
        }


async def skills() -> dict[str, Skill]:
    """The shipped skills by URI."""
    return await asyncio.to_thread(_load)


async def list_skills(cursor: str | None) -> dict[str, Any]:
    """The result of skills/list, which is one page.

    Raises:
        MCPError: -32602 for a cursor, since none was given out.
    """
    if cursor is not None:
        raise MCPError(code=INVALID_PARAMS, message="There is no further page of skills: the first has all.")
    return {**_CACHING, "skills": [skill.entry() for skill in (await skills()).values()]}


async def get_skill(uri: str) -> dict[str, Any]:
    """The result of skills/get.

    Raises:
        MCPError: -32602 for what is not the URI of a skill's SKILL.md.
    """
    found = await skills()
    if uri not in found:
        raise MCPError(
            code=INVALID_PARAMS, message=f"No skill is served at {uri[:120]!r}. There is: {', '.join(found)}."
        )
    return {**_CACHING, "skill": found[uri].entry()}


@cache
def _load() -> dict[str, Skill]:
    found: dict[str, Skill] = {}
    for head in sorted(shipped_path("skills").glob("*/SKILL.md")):
        folder = f"skill://{head.parent.name}/"
        # Bytes and not text: reading text would change the ends of lines, and so the digest.
        files = {folder + file.name: file.read_bytes().decode() for file in sorted(head.parent.glob("*.md"))}
        uri = folder + head.name
        found[uri] = Skill(uri, _front_matter(files[uri]), files)
    return found


def _front_matter(text: str) -> dict[str, str]:
    """The front matter of a shipped skill, which is YAML that consists of plain text in one line a field only."""
    head = _HEAD.match(text)
    assert head is not None
    return dict(line.split(": ", 1) for line in head[1].splitlines())
