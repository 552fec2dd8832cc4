"""A cache of text embeddings, so that a text is embedded once; the least recently used are evicted first.

The words of a text are kept like another embedding of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from ollama_mcp import clock
from ollama_mcp.store.writes import release_space, transaction

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

# Vectors of one read or write, so that other work on the store has its turn in between.
_BATCH_ROWS = 4_096
_BATCH_BYTES = 16_000_000
# Parameters of one statement; SQLite before 3.32 accepts 999.
_MAX_PARAMETERS = 900
_SECONDS_PER_DAY = 86_400
# Evicting to below the limit frees space for many vectors at once, instead of one eviction for each.
_TARGET_SHARE = 0.9
_EVICTED_ROWS = 2_000
# Memory is what the models need too, and whoever searches a corpus again keeps its vectors in memory anyway.
MAX_MEMORY_BYTES = 100_000_000

_GET = "SELECT k.hash, k.used, v.vector FROM embedding_keys k JOIN vectors v ON v.id = k.vector WHERE k.space = ?"
_OLDEST = "SELECT space, hash, vector, bytes FROM embedding_keys ORDER BY used, vector LIMIT ?"

_Row = tuple[bytes, bytes]


class EmbeddingCache:
    """Vectors by space and hash of the text. A space is a model with its dimensions and whatever else matters.

    Vectors are 32-bit floats, little-endian.

    Args:
        database: Where they are kept.
        megabytes: The most that is kept on the disk; in memory it is at most `MAX_MEMORY_BYTES` bytes.
    """

    def __init__(self, database: Database, megabytes: int) -> None:
        self._database = database
        self._max_bytes = megabytes * 1_000_000

    async def get(self, space: str, hashes: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the cached vectors by the hash of their text."""
        found: dict[bytes, bytes] = {}
        for start in range(0, len(hashes), _BATCH_ROWS):
            work = partial(_get, name=space, hashes=hashes[start : start + _BATCH_ROWS], today=_today())
            found |= await self._database.run_or_default(work, {})
        return found

    async def put(self, space: str, rows: Iterable[_Row]) -> None:
        """Cache pairs of a text's hash and its vector; a vector that is cached already is kept."""
        remaining = iter(rows)
        while batch := _next_batch(remaining):
            work = partial(_put, name=space, rows=batch, today=_today(), max_bytes=self._max_bytes)
            is_full = await self._database.run_or_default(work, False)
            while is_full:
                is_full = await self._database.run_or_default(partial(_evict, max_bytes=self._max_bytes), False)

    async def drop(self, space: str, hashes: Iterable[bytes]) -> None:
        """Delete the vectors of some texts, such as broken ones."""
        work = partial(_drop, name=space, hashes=list(hashes))
        await self._database.run_or_default(work, None)

    async def clear(self) -> None:
        """Delete all vectors, in steps.

        Raises:
            DiskError: The store cannot be used.
        """
        while await self._database.run(partial(_evict, max_bytes=0)):
            pass
        await release_space(self._database)


def _today() -> int:
    """Return the day since 1970: exact enough for the order of use, and reading writes at most once a day."""
    return int(clock.now()) // _SECONDS_PER_DAY


def _next_batch(rows: Iterable[_Row]) -> dict[bytes, bytes]:
    batch: dict[bytes, bytes] = {}
    size = 0
    for text_hash, vector in rows:
        batch[text_hash] = vector
        size += len(vector)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_ROWS:
            break
    return batch


def _space_id(connection: Connection, name: str) -> int | None:
    row = connection.execute("SELECT id FROM spaces WHERE name = ?", (name,)).fetchone()
    return row[0] if row is not None else None


def _get(connection: Connection, name: str, hashes: Sequence[bytes], today: int) -> dict[bytes, bytes]:
    space = _space_id(connection, name)
    found: dict[bytes, bytes] = {}
    used_earlier: list[bytes] = []
    if space is None:
        return found
    remaining = iter(hashes)
    while chunk := list(islice(remaining, _MAX_PARAMETERS)):
        marks = ",".join("?" * len(chunk))
        for text_hash, used, vector in connection.execute(f"{_GET} AND k.hash IN ({marks})", (space, *chunk)):
            found[text_hash] = vector
            if used != today:
                used_earlier.append(text_hash)
    if used_earlier:
        _mark_used(connection, space, used_earlier, today)
    return found


def _mark_used(connection: Connection, space: int, hashes: list[bytes], today: int) -> None:
    with transaction(connection):
        connection.executemany(
            "UPDATE embedding_keys SET used = ? WHERE space = ? AND hash = ?",
            # In one order everywhere, so that two processes never wait for each other's rows.
            [(today, space, text_hash) for text_hash in sorted(hashes)],
        )


def _put(connection: Connection, name: str, rows: dict[bytes, bytes], today: int, max_bytes: int) -> bool:
    """Write the vectors that are not cached yet; return whether the cache is over its limit now."""
    put_vectors(connection, name, rows, today)
    return _size(connection) > _limit(connection, max_bytes)


def put_vectors(connection: Connection, name: str, rows: dict[bytes, bytes], today: int) -> int:
    """Write the vectors that are not cached yet; return how many those are."""
    with transaction(connection):
        # First, so that processes write one after another, where a transaction itself does not see to that.
        _change_size(connection, 0)
        connection.execute("INSERT INTO spaces (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (name,))
        (space,) = connection.execute("SELECT id FROM spaces WHERE name = ?", (name,)).fetchone()
        # Another process may have embedded the same texts meanwhile.
        known = _known(connection, space, rows)
        new = [row for row in rows.items() if row[0] not in known]
        first = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM vectors").fetchone()[0]
        connection.insert("vectors", [(first + index, vector) for index, (_, vector) in enumerate(new)])
        keys = [(space, text_hash, first + index, len(vector), today) for index, (text_hash, vector) in enumerate(new)]
        connection.insert("embedding_keys", keys)
        _change_size(connection, sum(len(vector) for _, vector in new))
        return len(new)


def _known(connection: Connection, space: int, hashes: Iterable[bytes]) -> set[bytes]:
    """Return those of the hashes that have a vector."""
    known: set[bytes] = set()
    remaining = iter(hashes)
    while chunk := list(islice(remaining, _MAX_PARAMETERS)):
        marks = ",".join("?" * len(chunk))
        query = f"SELECT hash FROM embedding_keys WHERE space = ? AND hash IN ({marks})"
        known.update(text_hash for (text_hash,) in connection.execute(query, (space, *chunk)))
    return known


def _evict(connection: Connection, max_bytes: int) -> bool:
    """Delete some of the least recently used; return whether more have to go."""
    target = _TARGET_SHARE * _limit(connection, max_bytes)
    with transaction(connection):
        total = _change_size(connection, 0)
        evicted: list[tuple[int, bytes, int]] = []
        freed = 0
        for space, text_hash, vector, size in connection.execute(_OLDEST, (_EVICTED_ROWS,)):
            if total - freed <= target:
                break
            evicted.append((space, text_hash, vector))
            freed += size
        connection.executemany(
            "DELETE FROM embedding_keys WHERE space = ? AND hash = ?",
            [(space, text_hash) for space, text_hash, _ in evicted],
        )
        connection.executemany("DELETE FROM vectors WHERE id = ?", [(vector,) for _, _, vector in evicted])
        return _change_size(connection, -freed) > target and bool(evicted)


def _drop(connection: Connection, name: str, hashes: Iterable[bytes]) -> None:
    if (space := _space_id(connection, name)) is not None:
        with transaction(connection):
            delete_vectors(connection, [space], hashes)


def delete_vectors(connection: Connection, spaces: Iterable[int], hashes: Iterable[bytes]) -> None:
    """Delete the vectors of some texts in some spaces; within a transaction."""
    freed = 0
    wanted = list(hashes)
    # First, as in `_put`.
    _change_size(connection, 0)
    for space in spaces:
        for text_hash in wanted:
            which = (space, text_hash)
            found = connection.execute("SELECT vector, bytes FROM embedding_keys WHERE space = ? AND hash = ?", which)
            if (row := found.fetchone()) is None:
                continue
            connection.execute("DELETE FROM embedding_keys WHERE space = ? AND hash = ?", which)
            connection.execute("DELETE FROM vectors WHERE id = ?", row[:1])
            freed += row[1]
    _change_size(connection, -freed)


def _limit(connection: Connection, max_bytes: int) -> int:
    """Return the limit in bytes. The connection decides it, since memory also takes the place of a file that fails."""
    return min(max_bytes, MAX_MEMORY_BYTES) if connection.in_memory else max_bytes


def _change_size(connection: Connection, change: int) -> int:
    """Add to the recorded size of all vectors in bytes; return the new size."""
    connection.execute("UPDATE embedding_size SET bytes = bytes + ?", (change,))
    return _size(connection)


def _size(connection: Connection) -> int:
    return connection.execute("SELECT bytes FROM embedding_size").fetchone()[0]
