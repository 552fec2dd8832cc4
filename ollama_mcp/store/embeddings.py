"""Vectors of texts, so that a text is embedded once; those not used for longest go first."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from ollama_mcp.store.database import transaction

if TYPE_CHECKING:
    from sqlite3 import Connection

    from ollama_mcp.store.database import Database

# Asked for at a time: other work on the store has its turn in between.
_PAGE = 4_096
# Parameters of one statement; SQLite before 3.32 takes 999.
_PARAMETERS = 900
# Bytes of one transaction, about.
_WRITTEN_BYTES = 16_000_000
_SECONDS_OF_DAY = 86_400
# What is made free at a time, so that not every further vector has to make room for itself.
_KEPT_SHARE = 0.9
_GOING = 2_000
# In memory they cost what the models need too; a corpus that is searched again is kept beside the store.
MOST_IN_MEMORY = 100_000_000

_GET = "SELECT k.hash, k.used, v.vector FROM embedding_keys k JOIN vectors v ON v.id = k.vector WHERE k.space = ?"
_OLDEST = "SELECT space, hash, vector, bytes FROM embedding_keys ORDER BY used, vector LIMIT ?"

Row = tuple[bytes, bytes]


class Embeddings:
    """Vectors by space and hash of the text; a space is a model, its dimensions and whatever else tells apart.

    Args:
        database: Where they are kept.
        megabytes: How much is kept; in memory at most `MOST_IN_MEMORY` bytes.
    """

    def __init__(self, database: Database, megabytes: int) -> None:
        self._database = database
        self._most = megabytes * 1_000_000

    async def get(self, space: str, hashes: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the vectors that are kept, by the hash of their text; 32-bit floats, little-endian."""
        found: dict[bytes, bytes] = {}
        for start in range(0, len(hashes), _PAGE):
            work = partial(_get, name=space, hashes=hashes[start : start + _PAGE], today=_today())
            found |= await self._database.try_to_run(work, {})
        return found

    async def put(self, space: str, rows: Iterable[Row]) -> None:
        """Keep vectors: pairs of the text's hash and 32-bit floats, little-endian. One that is kept already stays."""
        rest = iter(rows)
        while page := _page(rest):
            work = partial(_put, name=space, rows=page, today=_today(), most=self._most)
            too_much = await self._database.try_to_run(work, False)
            while too_much:
                too_much = await self._database.try_to_run(partial(_drop_oldest, most=self._most), False)


def _today() -> int:
    """The day since 1970: exact enough to tell what is in use, and a day of reading writes the stamps once."""
    return int(time.time()) // _SECONDS_OF_DAY


def _page(rows: Iterable[Row]) -> dict[bytes, bytes]:
    page: dict[bytes, bytes] = {}
    size = 0
    for hashed, vector in rows:
        page[hashed] = vector
        size += len(vector)
        if size >= _WRITTEN_BYTES or len(page) >= _PAGE:
            break
    return page


def _space(connection: Connection, name: str) -> int | None:
    row = connection.execute("SELECT id FROM spaces WHERE name = ?", (name,)).fetchone()
    return row[0] if row is not None else None


def _get(connection: Connection, name: str, hashes: Sequence[bytes], today: int) -> dict[bytes, bytes]:
    space = _space(connection, name)
    found: dict[bytes, bytes] = {}
    older: list[bytes] = []
    if space is None:
        return found
    rest = iter(hashes)
    while chunk := list(islice(rest, _PARAMETERS)):
        marks = ",".join("?" * len(chunk))
        for hashed, used, vector in connection.execute(f"{_GET} AND k.hash IN ({marks})", (space, *chunk)):
            found[hashed] = vector
            if used != today:
                older.append(hashed)
    if older:
        _stamp(connection, space, older, today)
    return found


def _stamp(connection: Connection, space: int, hashes: list[bytes], today: int) -> None:
    with transaction(connection):
        connection.executemany(
            "UPDATE embedding_keys SET used = ? WHERE space = ? AND hash = ?",
            [(today, space, hashed) for hashed in hashes],
        )


def _put(connection: Connection, name: str, rows: dict[bytes, bytes], today: int, most: int) -> bool:
    """Write what is not there yet; return whether there are too many now."""
    with transaction(connection):
        connection.execute("INSERT OR IGNORE INTO spaces (name) VALUES (?)", (name,))
        space = _space(connection, name)
        known = "SELECT 1 FROM embedding_keys WHERE space = ? AND hash = ?"
        new = [row for row in rows.items() if connection.execute(known, (space, row[0])).fetchone() is None]
        first = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM vectors").fetchone()[0]
        connection.executemany(
            "INSERT INTO vectors VALUES (?, ?)", [(first + place, vector) for place, (_, vector) in enumerate(new)]
        )
        connection.executemany(
            "INSERT INTO embedding_keys VALUES (?, ?, ?, ?, ?)",
            [(space, hashed, first + place, len(vector), today) for place, (hashed, vector) in enumerate(new)],
        )
        return _resized(connection, sum(len(vector) for _, vector in new)) > _bound(connection, most)


def _drop_oldest(connection: Connection, most: int) -> bool:
    """Delete some of those not used for longest; return whether more have to go."""
    size = _KEPT_SHARE * _bound(connection, most)
    with transaction(connection):
        left = _resized(connection, 0)
        going: list[tuple[int, bytes, int]] = []
        freed = 0
        for space, hashed, vector, size_of_one in connection.execute(_OLDEST, (_GOING,)):
            if left - freed <= size:
                break
            going.append((space, hashed, vector))
            freed += size_of_one
        connection.executemany(
            "DELETE FROM embedding_keys WHERE space = ? AND hash = ?", [(space, hashed) for space, hashed, _ in going]
        )
        connection.executemany("DELETE FROM vectors WHERE id = ?", [(vector,) for _, _, vector in going])
        return _resized(connection, -freed) > size and bool(going)


def _bound(connection: Connection, most: int) -> int:
    """The most bytes that are kept; asked of the connection, since memory also stands in for a file that fails."""
    file = connection.execute("PRAGMA database_list").fetchone()[2]
    return most if file else min(most, MOST_IN_MEMORY)


def _resized(connection: Connection, change: int) -> int:
    connection.execute("UPDATE embedding_size SET bytes = bytes + ?", (change,))
    return connection.execute("SELECT bytes FROM embedding_size").fetchone()[0]
