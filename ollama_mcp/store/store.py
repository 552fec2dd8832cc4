"""The store of a server: the SQLite file, or the PostgreSQL database, with everything that outlives a call."""

from __future__ import annotations

import asyncio
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
    from ollama_mcp.store.content import Held
    from ollama_mcp.store.jobs import Jobs
    from ollama_mcp.store.ledger import Ledger
    from ollama_mcp.store.probes import Probes
    from ollama_mcp.store.profiles import Profiles
    from ollama_mcp.store.searched_files import SearchedFiles
    from ollama_mcp.store.spending import Spending

_MEMORY = ":memory:"


class Store:
    """Everything that outlives a call; opened with the first use, by any number of processes at a time.

    Counts, estimates and caches never fail a call: if the file cannot be used, they go on in memory, with one warning
    in the log. A batch needs its checkpoint, and gets a `DiskError`.

    Args:
        path: The file; None keeps everything in memory.
        url: The address of a PostgreSQL database. It takes the place of the file for everything but what is known of
            the files of this machine.
        usage: Whether calls and tokens are counted.
        embeddings_mb: The most megabytes of embeddings and of the words of passages that are kept.
    """

    ledger: Ledger | None = None
    """The rows of calls; None where the settings want none."""
    _spending: Spending | None = None
    _look: asyncio.Task[None] | None = None

    def __init__(self, path: Path | None, *, url: str = "", usage: bool = True, embeddings_mb: int = 1_000) -> None:
        self.path = path
        self._database = self._kept_database = Database(path, url)
        self._local_database = Database(path) if url else self._database
        self.models = ModelStats(self._database)
        self.usage = UsageCounter(self._database, enabled=usage)
        self.embeddings = EmbeddingCache(self._database, embeddings_mb)
        self.batches = Batches(self._database)
        self.tunings = Tunings(self._database)

    @cached_property
    def searched_files(self) -> SearchedFiles:
        """The files that were searched; imported with the first search."""
        from ollama_mcp.store.searched_files import SearchedFiles

        return SearchedFiles(self._local_database)

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

    @cached_property
    def profiles(self) -> Profiles:
        """The profiles; imported with the first of them, since most calls name none."""
        from ollama_mcp.store.profiles import Profiles

        return Profiles(self._database)

    @property
    def database(self) -> Database:
        """What it is kept in, for tables that only a store in PostgreSQL has."""
        return self._database

    @property
    def url(self) -> str:
        """The address of its PostgreSQL database, or ""."""
        return self._database.url

    @property
    def persistent(self) -> bool:
        """Whether what is kept outlives the process."""
        return self._database.persistent

    @classmethod
    def from_settings(cls, settings: Settings) -> Store:
        """Return the store of a server; it is in memory if the server may not write."""
        section = settings.store
        path = None if settings.read_only else _kept_file(settings)
        url = "" if settings.read_only else section.url
        store = cls(path, url=url, usage=section.usage, embeddings_mb=section.embeddings_mb)
        if settings.ledger.enabled:
            store.open_ledger(settings)
        return store

    @classmethod
    def for_ledger(cls, settings: Settings) -> Store:
        """The store of the settings for reading its ledger, whether rows are added to it now or not."""
        store = cls(_kept_file(settings), url=settings.store.url, usage=False)
        store.open_ledger(settings)
        return store

    def open_ledger(self, settings: Settings) -> None:
        """Keep a ledger, also of a server that may change nothing else."""
        from ollama_mcp.store.ledger import Ledger

        limits = settings.ledger
        self.ledger = Ledger(self._kept_in(settings), days=limits.days, megabytes=limits.megabytes)

    def open_spending(self, settings: Settings) -> Spending:
        """The tokens of each principal on this day, in the file of the settings."""
        from ollama_mcp.store.spending import Spending

        self._spending = Spending(self._kept_in(settings))
        return self._spending

    def _kept_in(self, settings: Settings) -> Database:
        """The database for what is kept of a server that may change nothing, too."""
        path, url = _kept_file(settings), settings.store.url
        if (path, url) != (self._kept_database.path, self._kept_database.url):
            self._kept_database = Database(path, url)
        return self._kept_database

    def warn_early(self) -> None:
        """Begin to look whether a database can be used: a warning is logged at once, not with what is to be kept."""
        if self._database.url:
            self._look = asyncio.create_task(self._database.run_or_default(lambda connection: None, None))

    async def held(self) -> list[Held]:
        """What the store holds, by kind.

        Raises:
            DiskError: The store cannot be used.
        """
        from ollama_mcp.store.content import SEARCHED, held

        found = await held(self._database)
        if self._local_database is not self._database:
            # Those are this machine's; looking into a file that is not there would make it.
            found = [one for one in found if one.kind != SEARCHED]
            if self.path is not None and await asyncio.to_thread(self.path.exists):
                found += [one for one in await held(self._local_database) if one.kind == SEARCHED]
        return found

    async def at_workers(self) -> frozenset[str]:
        """The keys of the batches whose rows workers have.

        Raises:
            DiskError: The store cannot be used.
        """
        from ollama_mcp.store.content import at_workers

        return await at_workers(self._database)

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
        if self._look is not None:
            await asyncio.wait({self._look})
        # The database last: the others still write.
        await self.models.aclose()
        await self.usage.aclose()
        if self._spending is not None:
            await self._spending.aclose()
        if self.ledger is not None:
            await self.ledger.aclose()
        for database in {self._kept_database, self._local_database} - {self._database}:
            await database.aclose()
        await self._database.aclose()


def _kept_file(settings: Settings) -> Path | None:
    """The file of the settings, also where the store itself is in memory since the server may change nothing."""
    return None if settings.store.path == _MEMORY else _store_file(settings.store.path)


def _store_file(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path))) if path else default_store_file()
