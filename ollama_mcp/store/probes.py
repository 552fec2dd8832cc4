"""Whether models told known right passages from wrong ones, by digest, so that each is asked once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ollama_mcp.store.writes import transaction

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

_READ = "SELECT passed FROM probes WHERE probe = ? AND digest = ?"
_WRITE = (
    "INSERT INTO probes (probe, digest, passed) VALUES (?, ?, ?) "
    "ON CONFLICT (probe, digest) DO UPDATE SET passed = excluded.passed"
)


class Probes:
    """Outcomes by the probe, which has another name where it asks something else, and the model's digest."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def passed(self, probe: str, digest: str) -> bool | None:
        """Return whether the model passed; None where it was not asked, or the store cannot be read."""
        return await self._database.run_or_default(lambda connection: _read(connection, probe, digest), None)

    async def keep(self, probe: str, digest: str, *, passed: bool) -> None:
        """Keep an outcome; where the store cannot be written, it is lost."""
        await self._database.run_or_default(lambda connection: _write(connection, probe, digest, passed), None)


def _read(connection: Connection, probe: str, digest: str) -> bool | None:
    found = connection.execute(_READ, (probe, digest)).fetchone()
    return None if found is None else bool(found[0])


def _write(connection: Connection, probe: str, digest: str, passed: bool) -> None:
    with transaction(connection):
        connection.execute(_WRITE, (probe, digest, passed))
