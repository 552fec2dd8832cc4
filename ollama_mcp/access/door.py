"""What the rest of the project holds in hand: the rules of one client, and opening and fetching by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ollama_mcp.access.files import OpenedFile, open_file
from ollama_mcp.access.purpose import Purpose
from ollama_mcp.access.resolver import Resolve, resolve
from ollama_mcp.access.rules import AccessRules
from ollama_mcp.settings.access import UrlSettings

if TYPE_CHECKING:
    import ssl

    import httpcore


@dataclass(frozen=True, slots=True)
class Access:
    """The way to files and foreign addresses; make another with `dataclasses.replace` for another client's rules.

    Args:
        rules: Which files may be read.
        urls: Which addresses may be fetched.
        resolver: Gives the addresses of a host.
        network: Connects to a literal address; the system's network by default.
        tls: Whose certificates are trusted when fetching; certifi's list by default.
    """

    rules: AccessRules
    urls: UrlSettings
    resolver: Resolve = resolve
    network: httpcore.AsyncNetworkBackend | None = None
    tls: ssl.SSLContext | None = None

    def open_file(self, text: str, purpose: Purpose) -> OpenedFile:
        """Open a file as `ollama_mcp.access.files.open_file` does; call it in a thread."""
        return open_file(text, purpose, self.rules)

    async def fetch(self, url: str) -> bytes:
        """Return the body at a public address as `ollama_mcp.access.fetch.fetch` does."""
        # The HTTP stack is loaded with the first fetch, not at the start of every server.
        from ollama_mcp.access.fetch import fetch

        return await fetch(url, self.urls, resolver=self.resolver, network=self.network, tls=self.tls)
