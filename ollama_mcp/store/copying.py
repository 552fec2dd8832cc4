"""What a file of the store holds, brought into a PostgreSQL database; as often as one likes, without doubling.

What has a name or a hash is left as it is there. Sums and the ledger have none: the database remembers how much of the
file it has, and is given the rest.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ollama_mcp.errors import DiskError
from ollama_mcp.store.batches import RowResult, open_run, save_rows
from ollama_mcp.store.connection import StoreConnection
from ollama_mcp.store.content import keys_at_workers
from ollama_mcp.store.embeddings import put_vectors
from ollama_mcp.store.jobs import LOCK as JOBS_LOCK
from ollama_mcp.store.jobs import RUNNING
from ollama_mcp.store.postgres import PostgresEngine

if TYPE_CHECKING:
    from ollama_mcp.store.sql import Connection

_ROWS = 500
_BYTES = 16_000_000
_LOCK = "copy"
# Tables in which a row that is there stays, with the columns that tell one row from another.
_NAMED = {
    "models": ("notes on models", "digest"),
    "tunings": ("measurements", "host, model, digest"),
    "probes": ("measurements", "probe, digest"),
    "profiles": ("profiles", "owner, name"),
}
# Tables whose numbers are added up: the columns that name a sum, and the numbers.
_SUMS = {
    "usage": ("usage by model", ("model", "cloud"), ("calls", "prompt_tokens", "tokens", "file_tokens", "seconds")),
    "spending": ("tokens of a day", ("day", "name"), ("tokens",)),
}
_JOB = (
    "id, tool, model, principal, request, settings, resumes, state, owner, fence, cancel, progress, text, result, "
    "tokens, touched"
)
_LEDGER = "at, who, tool, outcome, seconds, traffic, bytes"


class Copied(NamedTuple):
    """What was copied.

    Attributes:
        counts: How many rows of each kind were new there.
        jobs_left: Jobs that run, which stay with the file.
        batches_left: Batches that run, here or on workers of the database, which stay with the file.
    """

    counts: dict[str, int]
    jobs_left: int
    batches_left: int


def copy_store(path: Path, url: str, *, running: Collection[str]) -> Copied:
    """Copy all that is kept, but for what is at work now, and what is known of the files of this machine.

    Args:
        path: The file.
        url: The address of the database.
        running: The keys of batches that are at work.

    Raises:
        DiskError: The file is not there, or one of both cannot be used.
        InvalidArgument: The address is none.
    """
    if not path.is_file():
        raise DiskError(f"There is no store at {str(path)[-120:]!r}.", next_step="Name its file with --from.")
    file, engine = StoreConnection(path), PostgresEngine(url)
    with closing(file), closing(engine):
        return file.run(lambda source: _Copying(source, engine.run, path).run(running))


class _Copying:
    def __init__(self, source: Connection, write: Callable[..., Any], path: Path) -> None:
        self._source, self._write = source, write
        # Which file it is: the database knows what it has of it.
        self._name = f"copied {socket.gethostname()} {os.path.realpath(path)}"
        self._counts: dict[str, int] = {}

    def run(self, running: Collection[str]) -> Copied:
        for table, (kind, key) in _NAMED.items():
            self._copy_named(table, kind, key)
        for table, (kind, names, numbers) in _SUMS.items():
            self._add(kind, self._write(partial(self._copy_sums, table=table, names=names, numbers=numbers)))
        self._copy_vectors()
        left = self._copy_batches(running)
        self._copy_jobs()
        while number := self._write(self._copy_ledger):
            self._add("ledger", number)
        self._add("ledger", 0)
        (jobs,) = self._source.execute("SELECT count(*) FROM jobs WHERE state = ?", (RUNNING,)).fetchone()
        return Copied(self._counts, jobs, left)

    def _add(self, kind: str, number: int) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + number

    def _pages(self, query: str, *values: object) -> Iterator[list[Any]]:
        cursor = self._source.execute(query, values)
        page: list[Any] = []
        size = 0
        for row in cursor:
            page.append(row)
            size += sum(len(value) for value in row if isinstance(value, str | bytes))
            if len(page) >= _ROWS or size >= _BYTES:
                yield page
                page, size = [], 0
        if page:
            yield page

    def _copy_named(self, table: str, kind: str, key: str) -> None:
        self._add(kind, 0)
        columns = self._columns(table)
        marks = ", ".join("?" * len(columns))
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT ({key}) DO NOTHING"
        for page in self._pages(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {key}"):
            self._add(kind, sum(self._write(partial(_each, statement=insert, rows=page))))

    def _columns(self, table: str) -> list[str]:
        return [row[1] for row in self._source.execute(f"PRAGMA table_info({table})")]

    def _copy_sums(self, target: Connection, *, table: str, names: tuple[str, ...], numbers: tuple[str, ...]) -> int:
        target.lock(_LOCK)
        known = self._known(target, table)
        columns = ", ".join((*names, *numbers))
        rows = sorted(self._source.execute(f"SELECT {columns} FROM {table}").fetchall())
        sums = ", ".join(f"{column} = {table}.{column} + excluded.{column}" for column in numbers)
        marks = ", ".join("?" * (len(names) + len(numbers)))
        statement = (
            f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT ({', '.join(names)}) DO UPDATE SET {sums}"
        )
        now: dict[str, list[float]] = {}
        changes: list[tuple[Any, ...]] = []
        for row in rows:
            key, figures = json.dumps(row[: len(names)]), list(row[len(names) :])
            before = known.get(key, [0] * len(numbers))
            now[key] = figures
            # A file that lost some of it, such as one that was begun anew, takes nothing away.
            change = [max(0, one - other) for one, other in zip(figures, before, strict=True)]
            if any(change):
                changes.append((*row[: len(names)], *change))
        self._remember(target, table, known | now)
        return sum(target.execute_each(statement, changes))

    def _copy_vectors(self) -> None:
        self._add("embeddings and words", 0)
        query = """SELECT s.name, k.used, k.hash, v.vector FROM embedding_keys k JOIN vectors v ON v.id = k.vector
            JOIN spaces s ON s.id = k.space ORDER BY s.name, k.used, k.vector"""
        for page in self._pages(query):
            for (space, day), rows in groupby(page, key=lambda row: row[:2]):
                vectors = {text_hash: vector for _, _, text_hash, vector in rows}
                self._add(
                    "embeddings and words", self._write(partial(put_vectors, name=space, rows=vectors, today=day))
                )

    def _copy_batches(self, running: Collection[str]) -> int:
        self._add("batches", 0)
        self._add("rows of batches", 0)
        left = 0
        running = {*running, *self._write(keys_at_workers)}
        runs = self._source.execute("SELECT id, key, total, about FROM runs WHERE key IS NOT NULL").fetchall()
        for number, key, total, about in runs:
            if key in running:
                left += 1
                continue
            is_new = self._write(partial(_is_new, key=key))
            opened = self._write(partial(open_run, key=key, total=total, metadata=json.loads(about)))
            query = "SELECT row, record, error FROM records WHERE run = ? ORDER BY row"
            for page in self._pages(query, number):
                rows = [RowResult(row, record, bool(error)) for row, record, error in page]
                new, recovered = self._write(partial(save_rows, run=opened[0], rows=rows))
                self._add("rows of batches", len(new) + recovered)
            self._add("batches", int(is_new))
        return left

    def _copy_jobs(self) -> None:
        self._add("ended jobs", 0)
        for page in self._pages(f"SELECT {_JOB} FROM jobs WHERE state <> ? ORDER BY ended", RUNNING):
            self._add("ended jobs", self._write(partial(_put_jobs, rows=page)))

    def _copy_ledger(self, target: Connection) -> int:
        target.lock(_LOCK)
        last = self._known(target, "ledger").get("last", 0)
        query = f"SELECT id, {_LEDGER} FROM ledger WHERE id > ? ORDER BY id LIMIT ?"
        rows = self._source.execute(query, (last, _ROWS)).fetchall()
        if rows:
            # First, as in the ledger itself.
            target.execute("UPDATE ledger_size SET bytes = bytes + ?", (sum(row[-1] for row in rows),))
            target.executemany(
                f"INSERT INTO ledger ({_LEDGER}) VALUES (?, ?, ?, ?, ?, ?, ?)", [row[1:] for row in rows]
            )
            self._remember(target, "ledger", {"last": rows[-1][0]})
        return len(rows)

    def _known(self, target: Connection, table: str) -> dict[str, Any]:
        row = target.execute("SELECT value FROM meta WHERE name = ?", (f"{self._name} {table}",)).fetchone()
        return json.loads(row[0]) if row is not None else {}

    def _remember(self, target: Connection, table: str, known: dict[str, Any]) -> None:
        target.execute(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (f"{self._name} {table}", json.dumps(known)),
        )


def _each(target: Connection, statement: str, rows: list[Any]) -> list[int]:
    return target.execute_each(statement, rows)


def _is_new(target: Connection, key: str) -> bool:
    return target.execute("SELECT 1 FROM runs WHERE key = ?", (key,)).fetchone() is None


def _put_jobs(target: Connection, rows: list[Any]) -> int:
    target.lock(JOBS_LOCK)
    marks = ", ".join("?" * len(_JOB.split(",")))
    statement = f"""INSERT INTO jobs ({_JOB}, ended) VALUES ({marks}, (SELECT coalesce(max(ended), 0) + 1 FROM jobs))
        ON CONFLICT (id) DO NOTHING"""
    return sum(target.execute_each(statement, rows))
