"""What is known of files that were searched: their stamps and where their passages are; the texts are not kept."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from ollama_mcp import clock
from ollama_mcp.store.embeddings import delete_vectors
from ollama_mcp.store.writes import transaction

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

# Parameters of one statement; SQLite before 3.32 accepts 999.
_MAX_PARAMETERS = 900
_MAX_FILES = 200_000
_EVICTED_SHARE = 10
_SECONDS_PER_DAY = 86_400
_ENTRY = struct.Struct("<16sIII")
_PUT = """INSERT INTO searched_files VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path, cut) DO UPDATE SET
    stamp = excluded.stamp, kind = excluded.kind, notes = excluded.notes, passages = excluded.passages,
    used = excluded.used"""

Entry = tuple[bytes, int, int, int]
"""A passage: its key, its first and last line, and its row in a table or 0."""


class SearchedFile(NamedTuple):
    """A file as it was searched.

    Attributes:
        stamp: Of the file then.
        kind: "text", "image", or "other" where it is no text.
        notes: What was left out of its text.
        entries: Its passages.
    """

    stamp: str
    kind: str
    notes: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()


class SearchedFiles:
    """Files by path, and by how they were cut into passages.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, cut: str, paths: Sequence[str]) -> dict[str, SearchedFile]:
        """The files that are known."""
        return await self._database.run_or_default(partial(_get, cut=cut, paths=paths, today=_today()), {})

    async def put(self, cut: str, files: Mapping[str, SearchedFile]) -> None:
        """Remember files, in place of what was known of them."""
        if files:
            await self._database.run_or_default(partial(_put, cut=cut, files=files, today=_today()), None)

    async def forget(self, paths: Iterable[str]) -> None:
        """Forget files; the next search reads them again."""
        await self._database.run_or_default(partial(_delete, paths=list(paths)), None)

    async def clear(self) -> None:
        """Forget all files.

        Raises:
            DiskError: The store cannot be used.
        """
        await self._database.run(_clear)

    async def folders(self) -> list[str]:
        """The folders that have files here."""
        return await self._database.run_or_default(_folders, [])

    async def drop_folders(self, folders: Sequence[str]) -> None:
        """Delete the files directly in some folders, with the vectors and words that no other known file has."""
        await self._database.run_or_default(partial(_drop_folders, folders=folders), None)


def _today() -> int:
    return int(clock.now()) // _SECONDS_PER_DAY


def _get(connection: Connection, cut: str, paths: Sequence[str], today: int) -> dict[str, SearchedFile]:
    found: dict[str, SearchedFile] = {}
    used_earlier: list[bytes] = []
    # As bytes, since names on Linux need not be text.
    remaining = map(os.fsencode, paths)
    while chunk := list(islice(remaining, _MAX_PARAMETERS)):
        columns = "path, stamp, kind, notes, passages, used"
        marks = ",".join("?" * len(chunk))
        query = f"SELECT {columns} FROM searched_files WHERE cut = ? AND path IN ({marks})"
        for path, stamp, kind, notes, passages, used in connection.execute(query, (cut, *chunk)):
            if len(passages) % _ENTRY.size:
                # It is broken: then the file is read again.
                continue
            found[os.fsdecode(path)] = SearchedFile(
                stamp, kind, tuple(json.loads(notes)), tuple(_ENTRY.iter_unpack(passages))
            )
            if used != today:
                used_earlier.append(path)
    if used_earlier:
        with transaction(connection):
            connection.executemany(
                "UPDATE searched_files SET used = ? WHERE path = ?", [(today, path) for path in used_earlier]
            )
    return found


def _put(connection: Connection, cut: str, files: Mapping[str, SearchedFile], today: int) -> None:
    rows = [
        (
            os.fsencode(path),
            cut,
            file.stamp,
            file.kind,
            json.dumps(file.notes),
            b"".join(_ENTRY.pack(*entry) for entry in file.entries),
            today,
        )
        for path, file in files.items()
    ]
    with transaction(connection):
        connection.executemany(_PUT, rows)
        if connection.execute("SELECT count(*) FROM searched_files").fetchone()[0] > _MAX_FILES:
            oldest = "SELECT path FROM searched_files ORDER BY used LIMIT ?"
            connection.execute(f"DELETE FROM searched_files WHERE path IN ({oldest})", (_MAX_FILES // _EVICTED_SHARE,))


def _delete(connection: Connection, paths: Sequence[str]) -> None:
    with transaction(connection):
        connection.executemany("DELETE FROM searched_files WHERE path = ?", [(os.fsencode(path),) for path in paths])


def _clear(connection: Connection) -> None:
    with transaction(connection):
        connection.execute("DELETE FROM searched_files")


def _folders(connection: Connection) -> list[str]:
    found = connection.execute("SELECT DISTINCT path FROM searched_files")
    return sorted({os.path.dirname(os.fsdecode(path)) for (path,) in found})


def _drop_folders(connection: Connection, folders: Sequence[str]) -> None:
    gone = {os.fsencode(folder) for folder in folders}
    with transaction(connection):
        dropped: set[bytes] = set()
        kept: set[bytes] = set()
        paths: set[bytes] = set()
        for path, passages in connection.execute("SELECT path, passages FROM searched_files"):
            is_gone = os.path.dirname(path) in gone
            paths.update([path] if is_gone else ())
            keys = (passages[at : at + 16] for at in range(0, len(passages), _ENTRY.size))
            (dropped if is_gone else kept).update(keys)
        connection.executemany("DELETE FROM searched_files WHERE path = ?", [(path,) for path in paths])
        spaces = [space for (space,) in connection.execute("SELECT id FROM spaces")]
        delete_vectors(connection, spaces, dropped - kept)
