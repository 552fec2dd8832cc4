"""The store of a server: the SQLite file with everything that outlives a call."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ollama_mcp._paths import default_store_file
from ollama_mcp.store.batches import Batches
from ollama_mcp.store.database import Database
from ollama_mcp.store.embeddings import EmbeddingCache
from ollama_mcp.store.models import ModelStats
from ollama_mcp.store.tunings import Tunings
from ollama_mcp.store.usage import UsageCounter

if TYPE_CHECKING:
    from ollama_mcp.settings import Settings
    from ollama_mcp.settings.observation import LedgerSettings
    from ollama_mcp.store.content import Held
    from ollama_mcp.store.jobs import Jobs
    from ollama_mcp.store.ledger import Ledger
    from ollama_mcp.store.probes import Probes
    from ollama_mcp.store.searched_files import SearchedFiles

_MEMORY = ":memory:"


class Store:
    """Everything that outlives a call; opened with the first use, by any number of processes at a time.

    Counts, estimates and caches never fail a call: if the file cannot be used, they go on in memory, with one warning
    in the log. A batch needs its checkpoint, and gets a `DiskError`.

    Args:
        path: The file; None keeps everything in memory.
        usage: Whether calls and tokens are counted.
        embeddings_mb: The most megabytes of embeddings and of the words of passages that are kept.
    """

    ledger: Ledger | None = None
    """The rows of calls; None where the settings want none."""

    def __init__(self, path: Path | None, *, usage: bool = True, embeddings_mb: int = 1_000) -> None:
        self.path = path
        self._database = self._ledger_database = Database(path)
        self.models = ModelStats(self._database)
        self.usage = UsageCounter(self._database, enabled=usage)
        self.embeddings = EmbeddingCache(self._database, embeddings_mb)
        self.batches = Batches(self._database)
        self.tunings = Tunings(self._database)

    @cached_property
    def searched_files(self) -> SearchedFiles:
        """The files that were searched; imported with the first search."""
        from ollama_mcp.store.searched_files import SearchedFiles

        return SearchedFiles(self._database)

    @cached_property
    def jobs(self) -> Jobs:
        """The jobs; imported with the first of them, since most calls become none."""
        from ollama_mcp.store.jobs import Jobs

        return Jobs(self._database)

    @cached_property
    def probes(self) -> Probes:
        """Which models can judge; imported with the first search that has places judged."""
        from ollama_mcp.store.probes import Probes

        return Probes(self._database)

    @classmethod
    def from_settings(cls, settings: Settings) -> Store:
        """Return the store of a server; it is in memory if the server may not write."""
        section = settings.store
        in_memory = settings.read_only or section.path == _MEMORY
        path = None if in_memory else _store_file(section.path)
        store = cls(path, usage=section.usage, embeddings_mb=section.embeddings_mb)
        if settings.ledger.enabled:
            # Who asks for it wants it of a server that may change nothing, too.
            kept = None if section.path == _MEMORY else _store_file(section.path)
            store.open_ledger(settings.ledger, kept)
        return store

    @classmethod
    def for_ledger(cls, settings: Settings) -> Store:
        """The store of the settings for reading its ledger, whether rows are added to it now or not."""
        path = None if settings.store.path == _MEMORY else _store_file(settings.store.path)
        store = cls(path, usage=False)
        store.open_ledger(settings.ledger, path)
        return store

    def open_ledger(self, limits: LedgerSettings, path: Path | None) -> None:
        """Keep a ledger in a file: in this store's own database where that is its file."""
        from ollama_mcp.store.ledger import Ledger

        if path != self.path:
            self._ledger_database = Database(path)
        self.ledger = Ledger(self._ledger_database, days=limits.days, megabytes=limits.megabytes)

    async def held(self) -> list[Held]:
        """What the store holds, by kind.

        Raises:
            DiskError: The store cannot be used.
        """
        from ollama_mcp.store.content import held

        return await held(self._database)

    async def purge_jobs(self) -> int:
        """Delete the jobs that nobody works on; returns how many.

        Raises:
            DiskError: The store cannot be used.
        """
        from ollama_mcp.store.content import purge_jobs

        return await purge_jobs(self._database)

    def copies(self) -> list[Path]:
        """The copies of the file that were made before its schema was changed."""
        from ollama_mcp.store.backups import backups

        return backups(self.path) if self.path is not None else []

    async def aclose(self) -> None:
        """Write what is pending and close the file; a store that was never used creates no file."""
        # The database last: the others still write.
        await self.models.aclose()
        await self.usage.aclose()
        if self.ledger is not None:
            await self.ledger.aclose()
            if self._ledger_database is not self._database:
                await self._ledger_database.aclose()
        await self._database.aclose()


def _store_file(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path))) if path else default_store_file()
