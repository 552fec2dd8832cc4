"""The store as a whole: where it lies, and what it has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ollama_mcp.store.batches import Batches
from ollama_mcp.store.database import Database
from ollama_mcp.store.embeddings import Embeddings
from ollama_mcp.store.models import ModelNotes
from ollama_mcp.store.usage import Usage

if TYPE_CHECKING:
    from ollama_mcp.settings import Settings

FILE_NAME = "store.sqlite3"
_MEMORY = ":memory:"


class Store:
    """All that outlives a call; opened with the first use, by any number of processes at a time.

    What merely counts, calibrates or caches never fails a call: where the file cannot be used it goes on in memory,
    with one warning in the log. A batch needs its checkpoint, and gets a `DiskError`.

    Args:
        path: The file; None keeps everything in memory.
        usage: Whether calls and tokens are counted.
        embeddings_mb: Megabytes of embeddings that are kept.
    """

    def __init__(self, path: Path | None, *, usage: bool = True, embeddings_mb: int = 1_000) -> None:
        self.path = path
        self._database = Database(path)
        self.models = ModelNotes(self._database)
        self.usage = Usage(self._database, enabled=usage)
        self.embeddings = Embeddings(self._database, embeddings_mb)
        self.batches = Batches(self._database)

    @classmethod
    def of(cls, settings: Settings) -> Store:
        """Make the store of a server; it is in memory where the server may not write."""
        section = settings.store
        in_memory = settings.read_only or section.path == _MEMORY
        return cls(None if in_memory else _file(section.path), usage=section.usage, embeddings_mb=section.embeddings_mb)

    async def aclose(self) -> None:
        """Write what is still to be written and close the file; a store that was never used makes none."""
        await self.models.aclose()
        await self.usage.aclose()
        await self._database.aclose()


def _file(path: str) -> Path:
    if path:
        return Path(os.path.abspath(os.path.expanduser(path)))
    import platformdirs

    return Path(platformdirs.user_data_dir("ollama-mcp-server", appauthor=False)) / FILE_NAME
