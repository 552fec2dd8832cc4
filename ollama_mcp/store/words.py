"""An index of the words of passages (SQLite's FTS5), so that each is read once; the least used go first."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ollama_mcp.store.writes import transaction

if TYPE_CHECKING:
    from sqlite3 import Connection

    from ollama_mcp.store.database import Database

T = TypeVar("T")

# Passages of one write, so that other work on the store has its turn in between.
_BATCH_ROWS = 2_000
# Parameters of one statement; SQLite before 3.32 accepts 999.
_MAX_PARAMETERS = 900
_SECONDS_PER_DAY = 86_400
_EVICTED_ROWS = 2_000
_TARGET_SHARE = 0.9
MAX_MEMORY_BYTES = 100_000_000
# Passages that one search looks at: the commonest words, which tell the least, are left out beyond it.
_MAX_HITS = 30_000
# SQLITE_CORRUPT_VTAB: the index is broken, and not the file that it is in.
_BROKEN_INDEX = 267
# The words arrive separated by spaces: everything else is part of one. Made with the first use and not by a migration,
# since the store has to work where SQLite lacks FTS5.
_CREATE = (
    r"""CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(text, tokenize="ascii tokenchars '_-./\:@+#'")""",
    "CREATE VIRTUAL TABLE IF NOT EXISTS word_counts USING fts5vocab(words, row)",
)
_DROP = ("DROP TABLE IF EXISTS word_counts", "DROP TABLE IF EXISTS words", "DELETE FROM word_keys")
_HITS = "SELECT rowid, bm25(words) FROM words WHERE words MATCH ?"


class WordIds(NamedTuple):
    """Passages in the index.

    Attributes:
        generation: Changes when an id may mean another passage.
        ids: The hash of a passage by its id.
        missing: The hashes of those that are not in the index.
    """

    generation: int
    ids: dict[int, bytes]
    missing: list[bytes]


class WordHits(NamedTuple):
    """What a search found: the score (BM25, higher is better) by the id of a passage."""

    generation: int
    scores: dict[int, float]


class WordIndex:
    """The words of passages by the hash of the passage.

    Args:
        database: Where they are kept.
        megabytes: The most that is kept on the disk; in memory it is at most `MAX_MEMORY_BYTES` bytes.
    """

    def __init__(self, database: Database, megabytes: int) -> None:
        self._database = database
        self._max_bytes = megabytes * 1_000_000

    async def ids(self, hashes: Sequence[bytes]) -> WordIds | None:
        """Look passages up; None where there is no index, since SQLite lacks FTS5 or the store cannot be used."""
        return await self._run(partial(_ids, hashes=hashes, today=int(time.time()) // _SECONDS_PER_DAY))

    async def put(self, rows: Iterable[tuple[bytes, str]]) -> None:
        """Add pairs of a passage's hash and its words, separated by spaces."""
        remaining, today = iter(rows), int(time.time()) // _SECONDS_PER_DAY
        while batch := list(islice(remaining, _BATCH_ROWS)):
            work = partial(_put, rows=batch, today=today, max_bytes=self._max_bytes)
            while await self._run(work):
                work = partial(_evict, max_bytes=self._max_bytes)

    async def search(self, words: Sequence[str], among: Container[int], size: int) -> WordHits | None:
        """Find the passages that hold any of some words.

        Args:
            words: The words.
            among: The ids of the passages that are searched.
            size: How many these are.
        """
        return await self._run(partial(_search, words=words, among=among, size=size))

    async def _run(self, work: Callable[[Connection], T]) -> T | None:
        return await self._database.run_or_default(partial(_with_index, work=work), None)


def _with_index(connection: Connection, work: Callable[[Connection], T]) -> T | None:
    """Do something with the index, made where it is missing, and made anew where it is broken."""
    from sqlite3 import Error

    try:
        try:
            _create(connection)
            return work(connection)
        except Error as error:
            if getattr(error, "sqlite_errorcode", 0) != _BROKEN_INDEX:
                raise
        _make_anew(connection)
        return work(connection)
    except Error as error:
        if "no such module: fts5" in str(error):
            return None
        raise


def _create(connection: Connection) -> None:
    known = "SELECT count(*) FROM sqlite_master WHERE name IN ('words', 'word_counts')"
    if connection.execute(known).fetchone()[0] < len(_CREATE):
        with transaction(connection):
            for statement in _CREATE:
                connection.execute(statement)


def _make_anew(connection: Connection) -> None:
    with transaction(connection):
        for statement in (*_DROP, *_CREATE):
            connection.execute(statement)
        connection.execute("UPDATE word_state SET bytes = 0, generation = generation + 1")


def _ids(connection: Connection, hashes: Sequence[bytes], today: int) -> WordIds:
    ids: dict[int, bytes] = {}
    known: set[bytes] = set()
    used_earlier: list[bytes] = []
    generation = _generation(connection)
    remaining = iter(hashes)
    while chunk := list(islice(remaining, _MAX_PARAMETERS)):
        marks = ",".join("?" * len(chunk))
        rows = connection.execute(f"SELECT hash, id, used FROM word_keys WHERE hash IN ({marks})", chunk)
        for passage, identifier, used in rows:
            ids[identifier] = passage
            known.add(passage)
            if used != today:
                used_earlier.append(passage)
    if used_earlier:
        with transaction(connection):
            connection.executemany(
                "UPDATE word_keys SET used = ? WHERE hash = ?", [(today, passage) for passage in used_earlier]
            )
    return WordIds(generation, ids, [passage for passage in hashes if passage not in known])


def _put(connection: Connection, rows: Sequence[tuple[bytes, str]], today: int, max_bytes: int) -> bool:
    """Write passages that are not in the index yet; return whether it is over its limit now."""
    with transaction(connection):
        known = "SELECT 1 FROM word_keys WHERE hash = ?"
        # Another process may have read the same texts meanwhile.
        new = [row for row in dict(rows).items() if connection.execute(known, (row[0],)).fetchone() is None]
        last = connection.execute("SELECT rowid FROM words ORDER BY rowid DESC LIMIT 1").fetchone()
        numbered = list(enumerate(new, start=last[0] + 1 if last else 1))
        connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", [(at, row[1]) for at, row in numbered])
        connection.executemany(
            "INSERT INTO word_keys VALUES (?, ?, ?, ?)",
            [(passage, identifier, len(words), today) for identifier, (passage, words) in numbered],
        )
        size = _change_size(connection, sum(len(words) for _, words in new))
        return size > _limit(connection, max_bytes)


def _evict(connection: Connection, max_bytes: int) -> bool:
    """Delete some of the least recently used; return whether more have to go."""
    target = _TARGET_SHARE * _limit(connection, max_bytes)
    with transaction(connection):
        total, freed = _change_size(connection, 0), 0
        evicted: list[tuple[int]] = []
        oldest = "SELECT id, bytes FROM word_keys ORDER BY used, id LIMIT ?"
        for identifier, size in connection.execute(oldest, (_EVICTED_ROWS,)):
            if total - freed <= target:
                break
            evicted.append((identifier,))
            freed += size
        connection.executemany("DELETE FROM words WHERE rowid = ?", evicted)
        connection.executemany("DELETE FROM word_keys WHERE id = ?", evicted)
        connection.execute("UPDATE word_state SET generation = generation + 1")
        return _change_size(connection, -freed) > target and bool(evicted)


def _search(connection: Connection, words: Sequence[str], among: Container[int], size: int) -> WordHits:
    generation = _generation(connection)
    total = connection.execute("SELECT count(*) FROM word_keys").fetchone()[0]
    counts = [(_count(connection, word), word) for word in dict.fromkeys(words)]
    scores: dict[int, float] = {}
    looked_at = 0
    for count, word in sorted(counts):
        looked_at += count
        if not count or (scores and looked_at > _MAX_HITS):
            continue
        # One word at a time: how rare a word is counts in what is searched, not in all that was ever searched. FTS5
        # weighs by the latter (its documentation gives the formula), which is taken out again.
        rarity = math.log((total - count + 0.5) / (count + 0.5))
        common = rarity if rarity > 0 else 1e-6
        hits = [row for row in connection.execute(_HITS, (f'"{word}"',)) if row[0] in among]
        weight = math.log(1 + (size - len(hits) + 0.5) / (len(hits) + 0.5)) / common
        for identifier, score in hits:
            scores[identifier] = scores.get(identifier, 0.0) - weight * score
    return WordHits(generation, scores)


def _count(connection: Connection, word: str) -> int:
    row = connection.execute("SELECT doc FROM word_counts WHERE term = ?", (word,)).fetchone()
    return row[0] if row is not None else 0


def _generation(connection: Connection) -> int:
    return connection.execute("SELECT generation FROM word_state").fetchone()[0]


def _limit(connection: Connection, max_bytes: int) -> int:
    file = connection.execute("PRAGMA database_list").fetchone()[2]
    return max_bytes if file else min(max_bytes, MAX_MEMORY_BYTES)


def _change_size(connection: Connection, change: int) -> int:
    connection.execute("UPDATE word_state SET bytes = bytes + ?", (change,))
    return connection.execute("SELECT bytes FROM word_state").fetchone()[0]
