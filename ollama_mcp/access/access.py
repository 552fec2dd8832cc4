"""The access of one client to files and addresses: reading, finding, writing and fetching by its rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ollama_mcp.access.files import OpenedFile, open_file, stamps
from ollama_mcp.access.globs import FoundFiles, find
from ollama_mcp.access.output import Output, prepare_output
from ollama_mcp.access.read_rules import Purpose, ReadRules
from ollama_mcp.access.write_rules import WriteRules
from ollama_mcp.settings.access import UrlSettings

if TYPE_CHECKING:
    import ssl

    import httpcore

    from ollama_mcp.access.network import Resolver
    from ollama_mcp.settings import Settings


@dataclass(frozen=True, slots=True)
class Access:
    """Access to files and addresses by one client's rules; `dataclasses.replace` makes that of another client.

    Args:
        read_rules: Which files may be read.
        urls: Which addresses may be fetched.
        resolver: Returns the addresses of a host; the system's resolver by default.
        network: Connects to a literal address; the system's network by default.
        tls: Which certificates are trusted when fetching; certifi's list by default.
        write_rules: Which files may be written.
        fetched: Is told of each fetch: from which server, and how many bytes came.
        off: Which setting has turned fetching off, where it is another than `urls`: "network is 'off'".
    """

    read_rules: ReadRules
    urls: UrlSettings
    resolver: Resolver | None = None
    network: httpcore.AsyncNetworkBackend | None = None
    tls: ssl.SSLContext | None = None
    write_rules: WriteRules = field(default_factory=WriteRules)
    fetched: Callable[[str, int], None] | None = None
    off: str = ""

    @classmethod
    def from_settings(
        cls, settings: Settings, read_rules: ReadRules, fetched: Callable[[str, int], None] | None = None
    ) -> Access:
        """The access of the settings, under rules for reading that are made by the caller."""
        off = "" if settings.network == "full" else f"network is {settings.network!r}"
        write_rules = WriteRules.from_settings(settings)
        return cls(read_rules, settings.effective_urls, write_rules=write_rules, fetched=fetched, off=off)

    def open_file(self, text: str, purpose: Purpose) -> OpenedFile:
        """Open a file as `ollama_mcp.access.files.open_file` does; call it in a thread."""
        return open_file(text, purpose, self.read_rules)

    def stamps(self, paths: Sequence[str], purpose: Purpose) -> dict[str, str]:
        """The stamps of files as `ollama_mcp.access.files.stamps` gives them; call it in a thread."""
        return stamps(paths, purpose, self.read_rules)

    def find(self, pattern: str, purpose: Purpose, limit: int) -> FoundFiles:
        """Find the files of a pattern, path or folder as `ollama_mcp.access.globs.find` does; call it in a thread."""
        return find(pattern, purpose, self.read_rules, limit)

    def prepare_output(
        self, text: str, suffixes: Sequence[str], *, overwrite: bool = False, again: bool = False
    ) -> Output:
        """Check where results go as `ollama_mcp.access.output.prepare_output` does; call it in a thread.

        A relative path or bare file name starts from the first folder that may be written to and has its folder.
        """
        return prepare_output(text, suffixes, self.read_rules, self.write_rules, overwrite=overwrite, again=again)

    async def fetch(self, url: str) -> bytes:
        """Return the body at a public address as `ollama_mcp.access.fetch.fetch` does."""
        # The HTTP stack is loaded with the first fetch: most servers fetch nothing.
        from ollama_mcp.access.fetch import fetch

        return await fetch(
            url,
            self.urls,
            resolver=self.resolver,
            network=self.network,
            tls=self.tls,
            fetched=self.fetched,
            off=self.off,
        )
