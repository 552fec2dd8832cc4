"""Checkpoints of batches: what each row came to, kept row by row until the output is written."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from ollama_mcp.store.database import transaction
from ollama_mcp.store.runs import BatchRun, clear

if TYPE_CHECKING:
    from sqlite3 import Connection

    from ollama_mcp.store.database import Database

KEPT_DAYS = 30
_SECONDS_OF_DAY = 86_400

_FIND = "SELECT id, total, about FROM runs WHERE key = ?"
_COUNT = "SELECT count(*) FILTER (WHERE error = 0), count(*) FILTER (WHERE error = 1) FROM records WHERE run = ?"


class Batches:
    """The runs of batches that are not over.

    Attributes:
        lasting: Whether they outlive the process; not where the store is in memory.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.lasting = database.path is not None

    async def open(self, key: str, *, total: int | None, about: dict[str, Any]) -> BatchRun:
        """Find the run with this key, or begin it; runs that nobody has touched for 30 days are deleted.

        Args:
            key: Tells one request from all others; a hash of all that decides its outcome.
            total: Rows in all, where that is known.
            about: Whatever is to be known of the run later; JSON. A run that is found keeps what it began with.

        Raises:
            DiskError: The store cannot be used.
        """
        run, done, failed, kept, known = await self._database.run(
            lambda connection: _open(connection, key, total, about)
        )
        for old in await self._database.run(_forgotten):
            await clear(self._database, old)
        return BatchRun(self._database, run, key, total=kept, about=known, done=done, failed=failed)


def _open(
    connection: Connection, key: str, total: int | None, about: dict[str, Any]
) -> tuple[int, int, int, int | None, dict[str, Any]]:
    now = int(time.time())
    with transaction(connection):
        old = now - KEPT_DAYS * _SECONDS_OF_DAY
        connection.execute("UPDATE runs SET key = NULL WHERE touched < ? AND key <> ?", (old, key))
        connection.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET total = coalesce(excluded.total, total), touched = excluded.touched",
            (secrets.randbits(62), key, total, json.dumps(about), now),
        )
    run, kept, known = connection.execute(_FIND, (key,)).fetchone()
    done, failed = connection.execute(_COUNT, (run,)).fetchone()
    return run, done, failed, kept, json.loads(known)


def _forgotten(connection: Connection) -> list[int]:
    """Runs whose deletion was decided but has not come to its end."""
    return [run for (run,) in connection.execute("SELECT id FROM runs WHERE key IS NULL")]
