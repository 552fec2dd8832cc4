"""What the rest of the project holds in hand: one client's rules, and reading, finding, writing, fetching by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ollama_mcp.access.files import OpenedFile, open_file
from ollama_mcp.access.globs import Found, find
from ollama_mcp.access.output import Output, prepare_output
from ollama_mcp.access.purpose import Purpose
from ollama_mcp.access.resolver import Resolve, resolve
from ollama_mcp.access.rules import AccessRules
from ollama_mcp.access.writable import WriteRules
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
        writing: Which files may be written.
    """

    rules: AccessRules
    urls: UrlSettings
    resolver: Resolve = resolve
    network: httpcore.AsyncNetworkBackend | None = None
    tls: ssl.SSLContext | None = None
    writing: WriteRules = field(default_factory=WriteRules)

    def open_file(self, text: str, purpose: Purpose) -> OpenedFile:
        """Open a file as `ollama_mcp.access.files.open_file` does; call it in a thread."""
        return open_file(text, purpose, self.rules)

    def find(self, pattern: str, purpose: Purpose, limit: int) -> Found:
        """Return the files of a pattern, path or folder as `ollama_mcp.access.globs.find` does; call it in a thread."""
        return find(pattern, purpose, self.rules, limit)

    def prepare_output(self, text: str, suffixes: Sequence[str], *, overwrite: bool = False) -> Output:
        """Judge where results go as `ollama_mcp.access.output.prepare_output` does; call it in a thread.

        A relative path or bare file name starts from the first folder that may be written to.
        """
        return prepare_output(text, suffixes, self.rules, self.writing, overwrite=overwrite)

    async def fetch(self, url: str) -> bytes:
        """Return the body at a public address as `ollama_mcp.access.fetch.fetch` does."""
        # The HTTP stack is loaded with the first fetch, not at the start of every server.
        from ollama_mcp.access.fetch import fetch

        return await fetch(url, self.urls, resolver=self.resolver, network=self.network, tls=self.tls)
