"""Published vulnerabilities of Ollama that can be exploited through what this server does.

Source: the CVE records and Ollama's release notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ollama_mcp.api.versions import ServerVersion


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """A vulnerability: the first version without it, its CVE number, and its impact."""

    fixed_in: tuple[int, int, int]
    cve: str
    impact: str


VULNERABILITIES = (
    Vulnerability((0, 1, 29), "CVE-2024-28224", "a web page can call this Ollama (DNS rebinding)"),
    Vulnerability((0, 1, 34), "CVE-2024-37032", "a pull from a hostile registry runs code on the host"),
    Vulnerability((0, 1, 46), "CVE-2024-39720", "creating from a broken GGUF file crashes the host"),
    Vulnerability((0, 1, 47), "CVE-2024-45436", "creating from a hostile archive writes files on the host"),
    Vulnerability((0, 14, 3), "CVE-2025-51471", "a pull from a hostile registry takes the host's sign-in"),
    Vulnerability((0, 17, 1), "CVE-2026-7482", "a hostile GGUF file and a push give away the host's memory"),
)


def version_warnings(version: ServerVersion) -> list[str]:
    """A warning for each vulnerability of a server's version, the newest first; none for an unknown version."""
    if not version.known:
        return []
    return [
        f"{known.cve}: {known.impact}; fixed in Ollama {'.'.join(map(str, known.fixed_in))}, update it."
        for known in reversed(VULNERABILITIES)
        if version.numbers < known.fixed_in
    ]
