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
# What workers have of them, in a database only. What is under way is theirs until every range is done.
_AT_WORKERS = """SELECT key FROM runs WHERE key IS NOT NULL AND EXISTS
    (SELECT 1 FROM fleet_runs AS f JOIN ranges AS r ON r.run = f.run
     WHERE f.run = runs.id AND f.state = 'running' AND NOT r.done)"""
_COUNTS_OF_WORKERS = {
    "batches at workers": f"SELECT count(*), 0 FROM ({_AT_WORKERS}) AS batches",
    "ranges at workers": "SELECT count(*), coalesce(sum(length(rows)), 0) FROM ranges WHERE NOT done",
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
    counts = _COUNTS | _COUNTS_OF_WORKERS if database.url else _COUNTS
    return await database.run(
        lambda connection: [Held(kind, *connection.execute(count).fetchone()) for kind, count in counts.items()]
    )


async def at_workers(database: Database) -> frozenset[str]:
    """The keys of the batches whose rows workers have.

    Raises:
        DiskError: The store cannot be used.
    """
    return await database.run(keys_at_workers) if database.url else frozenset()


def keys_at_workers(connection: Connection) -> frozenset[str]:
    """The same, of a database."""
    return frozenset(key for (key,) in connection.execute(_AT_WORKERS).fetchall())


async def jobs_kept(database: Database) -> int:
    """How many jobs a store has, whosever they are.

    Raises:
        DiskError: The store cannot be used.
    """
    return await database.run(lambda connection: connection.execute("SELECT count(*) FROM jobs").fetchone()[0])


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
