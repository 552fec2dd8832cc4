"""The tables of the queue, procrastinate: its own SQL, applied with ours, since it keeps no version itself."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString, cast

from ollama_mcp._command import command, how_to_install
from ollama_mcp.errors import DiskError

if TYPE_CHECKING:
    import psycopg

_NAME = "queue"
_KNOWN = "SELECT value FROM meta WHERE name = %s"
_KEEP = "INSERT INTO meta VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


def upgrade_queue(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Make the queue's tables or bring them up to date, in the transaction and the schema that are set.

    Raises:
        DiskError: They are of a newer version.
    """
    known, steps = queue_version(connection), _migrations()
    newest = steps[-1].stem
    if known >= newest:
        check_queue(connection)
        return
    files = [step for step in steps if step.stem > known] if known else [_folder() / "schema.sql"]
    for file in files:
        connection.execute(cast("LiteralString", file.read_text(encoding="utf-8")))
    connection.execute(_KEEP, (_NAME, newest))


def queue_version(connection: psycopg.Connection[tuple[Any, ...]]) -> str:
    """The last migration that was applied; "" where there is none."""
    row = connection.execute(_KNOWN, (_NAME,)).fetchone()
    return row[0] if row is not None else ""


def check_queue(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Refuse tables that are not those of the package that is installed here.

    Raises:
        DiskError: They are of another version.
    """
    known, newest = queue_version(connection), _migrations()[-1].stem
    if known < newest:
        raise DiskError(
            f"The queue's tables are of version {known or 'none'}; procrastinate here needs {newest}.",
            next_step=f"Run {command('store upgrade')}.",
        )
    if known > newest:
        raise DiskError(
            f"The queue's tables are of version {known}; procrastinate here knows {newest}.",
            next_step=how_to_install("fleet", newest=True),
        )


@cache
def _folder() -> Path:
    # Its SQL is read without importing it, which takes a third of a second.
    found = find_spec("procrastinate")
    assert found is not None and found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "sql"


@cache
def _migrations() -> list[Path]:
    return sorted((_folder() / "migrations").glob("*.sql"))
