"""Published holes of Ollama that could be used through what this server does, by the version that closed them.

Source: the CVE records and Ollama's release notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ollama_mcp.api.versions import ServerVersion


@dataclass(frozen=True, slots=True)
class Hole:
    """A hole: the first version without it, its name, and what somebody could do with it."""

    closed: tuple[int, int, int]
    name: str
    danger: str


HOLES = (
    Hole((0, 1, 29), "CVE-2024-28224", "a web page can call this Ollama (DNS rebinding)"),
    Hole((0, 1, 34), "CVE-2024-37032", "a pull from a hostile registry runs code on the host"),
    Hole((0, 1, 46), "CVE-2024-39720", "creating from a broken GGUF file crashes the host"),
    Hole((0, 1, 47), "CVE-2024-45436", "creating from a hostile archive writes files on the host"),
    Hole((0, 14, 3), "CVE-2025-51471", "a pull from a hostile registry takes the host's sign-in"),
    Hole((0, 17, 1), "CVE-2026-7482", "a hostile GGUF file and a push give away the host's memory"),
)


def warnings(version: ServerVersion) -> list[str]:
    """What is known to be wrong with a server's version, the newest first; nothing where the version is not known."""
    if not version.known:
        return []
    return [
        f"{hole.name}: {hole.danger}; closed in Ollama {'.'.join(map(str, hole.closed))}, update it."
        for hole in reversed(HOLES)
        if version.numbers < hole.closed
    ]
