"""What is in a store, for its user to see and to delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ollama_mcp.store.jobs import LOCK
from ollama_mcp.store.processes import ProcessIdentity, has_ended
from ollama_mcp.store.writes import release_space, transaction

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

SEARCHED = "searched files"
# By name: how many there are, and the bytes of what they hold.
_COUNTS = {
    "unfinished batches": "SELECT count(*), 0 FROM runs WHERE key IS NOT NULL",
    "rows of batches": "SELECT count(*), coalesce(sum(length(record)), 0) FROM records",
    "running jobs": "SELECT count(*), coalesce(sum(length(text) + length(coalesce(request, ''))), 0) FROM jobs "
    "WHERE state = 'running'",
    "ended jobs": "SELECT count(*), coalesce(sum(length(text) + length(coalesce(result, ''))), 0) FROM jobs "
    "WHERE state <> 'running'",
    "embeddings and words": "SELECT count(*), (SELECT bytes FROM embedding_size) FROM embedding_keys",
    SEARCHED: "SELECT count(*), coalesce(sum(length(passages)), 0) FROM searched_files",
    "notes on models": "SELECT count(*), 0 FROM models",
    "measurements": "SELECT (SELECT count(*) FROM tunings) + (SELECT count(*) FROM probes), 0",
    "tokens of a day": "SELECT count(*), 0 FROM spending",
    "profiles": "SELECT count(*), coalesce(sum(length(task)), 0) FROM profiles",
    "usage by model": "SELECT count(*), 0 FROM usage",
}


class Held(NamedTuple):
    """What a store holds of a kind."""

    kind: str
    number: int
    size: int


async def held(database: Database) -> list[Held]:
    """What a store holds.

    Raises:
        DiskError: The store cannot be used.
    """
    return await database.run(
        lambda connection: [Held(kind, *connection.execute(count).fetchone()) for kind, count in _COUNTS.items()]
    )


async def purge_jobs(database: Database) -> int:
    """Delete the jobs that nobody works on; returns how many.

    Raises:
        DiskError: The store cannot be used.
    """
    deleted = await database.run(_purge_jobs)
    await release_space(database)
    return deleted


def _purge_jobs(connection: Connection) -> int:
    with transaction(connection):
        connection.lock(LOCK)
        found = connection.execute("SELECT id, machine, pid, born FROM job_owners").fetchall()
        gone = [owner for owner, *process in found if has_ended(ProcessIdentity(*process))]
        marks = ",".join("?" * (len(gone) + 1))
        where = f"state <> 'running' OR owner IN ({marks})"
        return connection.execute(f"DELETE FROM jobs WHERE {where}", (*gone, "")).rowcount
