"""Checkpoints of batches: the outcome of each row, kept until the output is written.

`Batches` finds or begins a run. `BatchRun` saves its records, many at a time, and reads them page by page.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ollama_mcp import clock
from ollama_mcp.errors import DiskError
from ollama_mcp.store.patient import impatient, patient
from ollama_mcp.store.writes import release_space, transaction

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.patient import OnWait
    from ollama_mcp.store.sql import Connection

T = TypeVar("T")

KEPT_DAYS = 30
_SECONDS_PER_DAY = 86_400
# A page of records ends with whichever comes first; a single record may be larger.
_PAGE_ROWS = 500
_PAGE_BYTES = 4_000_000
# PostgreSQL lets others write meanwhile.
_DELETED_ROWS, _DELETED_AT_ONCE = 1_000, 20_000
# How exactly it is recorded when a run was last used; a finer value would write more often.
_TOUCH_SECONDS = 3_600

_FIND = "SELECT id, total, about FROM runs WHERE key = ?"
_COUNT = "SELECT count(*) FILTER (WHERE error = 0), count(*) FILTER (WHERE error = 1) FROM records WHERE run = ?"
_EXISTS = "SELECT 1 FROM runs WHERE id = ? AND key IS NOT NULL"
_TOUCH = "UPDATE runs SET touched = ? WHERE id = ? AND touched < ?"
_INSERT = "INSERT INTO records (run, row, error, record) VALUES (?, ?, ?, ?) ON CONFLICT (run, row) DO NOTHING"
_REPLACE_FAILURE = "UPDATE records SET error = ?, record = ? WHERE run = ? AND row = ? AND error = 1"
_SAVED = "SELECT row FROM records WHERE run = ? AND row BETWEEN ? AND ?"
_FAILED = "SELECT row FROM records WHERE run = ? AND error = 1 AND row > ? ORDER BY row LIMIT ?"
# Not by their number: PostgreSQL, which knows nothing yet of rows just written, would sort all that are left each time.
_PAGE = "SELECT row, record, error FROM records WHERE run = ? AND row > ? AND row <= ? ORDER BY row"
_NEXT = "SELECT min(row) FROM records WHERE run = ? AND row > ?"
_STEP = "SELECT max(row) FROM (SELECT row FROM records WHERE run = ? AND row > ? ORDER BY row LIMIT ?) AS step"
_DELETE = "DELETE FROM records WHERE run = ? AND row > ? AND row <= ?"


class CheckpointLost(DiskError):
    """The run is no longer in the store, nor any of its records."""


class RowResult(NamedTuple):
    """The outcome of a row.

    Attributes:
        row: Number of the row.
        record: What the caller saved of it.
        error: Whether it failed.
    """

    row: int
    record: bytes
    error: bool


class Batches:
    """The runs of batches that are not finished.

    Args:
        database: Where they are kept.
        for_runs: The same, for the work on a run that was opened.

    Attributes:
        persistent: Whether they outlive the process; False if the store is in memory.
    """

    def __init__(self, database: Database, for_runs: Database | None = None) -> None:
        self._database, self._for_runs = database, for_runs or database
        self.persistent = database.persistent

    def patient(self, on_wait: OnWait, *, at_once: bool) -> Batches:
        """The same, where work on a run waits for a database that is away, and `at_once` opening it too."""
        waiting = patient(self._database, on_wait)
        return Batches(waiting if at_once else self._database, waiting)

    async def unfinished(self) -> list[UnfinishedRun]:
        """The runs in the store, the one that was used last first.

        Raises:
            DiskError: The store cannot be used.
        """
        return await self._database.run(_unfinished)

    async def open(self, key: str, *, total: int | None, metadata: dict[str, Any]) -> BatchRun:
        """Find the run with this key, or begin it; runs that were not used for 30 days are deleted.

        Args:
            key: Identifies the request: a hash of everything that decides its outcome.
            total: The number of rows, if known.
            metadata: What is to be known of the run later, as JSON. A run that is found keeps what it began with.

        Raises:
            DiskError: The store cannot be used.
        """
        run = await self._database.run(partial(open_run, key=key, total=total, metadata=metadata))
        for unfinished in await self._database.run(_marked_for_deletion):
            await _delete_run(self._database, unfinished)
        return BatchRun(self._for_runs, key, *run)


class UnfinishedRun(NamedTuple):
    """What is known of a run without opening it; attributes as of `BatchRun`."""

    key: str
    metadata: dict[str, Any]
    done: int
    failed: int
    total: int | None
    touched: int
    """When it was last used, in seconds since 1970, to an hour."""


class BatchRun:
    """A run: which rows are done, and with which outcome. It holds what users gave and models answered.

    One caller at a time may work on a run; its rows may be saved by any number of tasks.

    Attributes:
        key: The key that it was opened with.
        total: The number of rows, if known.
        metadata: What was said of it when it began.
        done: Rows that succeeded.
        failed: Rows that failed.
    """

    def __init__(
        self,
        database: Database,
        key: str,
        run: int,
        total: int | None,
        metadata: dict[str, Any],
        done: int,
        failed: int,
    ) -> None:
        self._database, self._id = database, run
        self.key, self.total, self.metadata, self.done, self.failed = key, total, metadata, done, failed
        self._waiting: list[tuple[RowResult, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    @property
    def id(self) -> int:
        """Its number in the store."""
        return self._id

    async def missing(self, first: int, last: int) -> list[int]:
        """Return the rows from `first` to `last`, both included, that have no record, in order.

        Raises:
            DiskError: The store cannot be used, or the run is no longer in it.
        """
        saved = await self._run(lambda connection: _rows(connection, _SAVED, (self._id, first, last)))
        return [row for row in range(first, last + 1) if row not in saved]

    async def failures(self, *, after: int = -1, count: int = 10_000) -> list[int]:
        """Return the next `count` rows that failed, in order, beginning after a row.

        Raises:
            DiskError: The store cannot be used, or the run is no longer in it.
        """
        return sorted(await self._run(lambda connection: _rows(connection, _FAILED, (self._id, after, count))))

    async def save(self, index: int, record: bytes, *, error: bool) -> None:
        """Save the outcome of a row; once this returns, it survives the end of the process.

        Rows that wait at the same moment share one write. A later outcome replaces a failure, but never a success.

        Raises:
            DiskError: The store cannot be used, or the run is no longer in it; the row is not saved.
        """
        saved = asyncio.get_running_loop().create_future()
        self._waiting.append((RowResult(index, record, error), saved))
        # One writer at a time, so that rows gather while it waits for the disk.
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await saved

    async def records(self) -> AsyncGenerator[RowResult]:
        """Yield all records in the order of their rows, with a few megabytes in memory at a time and nothing locked.

        Raises:
            DiskError: The store cannot be used, or the run is no longer in it.
        """
        after = -1
        while page := await self._run(partial(_page, run=self._id, after=after)):
            for record in page:
                yield record
            after = page[-1].row

    async def discard(self, rows: Collection[int]) -> None:
        """Delete the records of some rows, so that they are done anew.

        Raises:
            DiskError: The store cannot be used.
        """
        if self._writer is not None:
            # A task that was cancelled leaves its row with the writer.
            await asyncio.wait([self._writer])
        chosen = sorted(rows)
        self.done, self.failed = await self._database.run(partial(_discard, run=self._id, rows=chosen))
        await release_space(self._database)

    async def recount(self) -> None:
        """Count its rows anew, where others have saved some.

        Raises:
            DiskError: The store cannot be used.
        """
        self.done, self.failed = await self._database.run(partial(_discard, run=self._id, rows=[]))

    async def reset(self) -> None:
        """Delete all records, so that the run starts anew. They are overwritten, as with `remove`.

        Raises:
            DiskError: The store cannot be used.
        """
        await _delete_records(self._database, self._id)
        await release_space(self._database)
        self.done = self.failed = 0

    async def remove(self) -> None:
        """Delete the run with all its records.

        The records hold content of the user. They are overwritten with zeros in the file, and the write-ahead log is
        truncated as far as readers allow it. A removal that is interrupted is completed when a batch is opened.

        Raises:
            DiskError: The store cannot be used.
        """
        database = impatient(self._database)
        # First, so that a removal that is interrupted cannot be continued as a run.
        await database.run(lambda connection: _mark_for_deletion(connection, self._id))
        await _delete_run(database, self._id)
        self.done = self.failed = 0

    async def _run(self, work: Callable[[Connection], T]) -> T:
        """Read from the run, and fail if it is gone: in a store that was replaced, "no rows" would be wrong."""

        def checked(connection: Connection) -> T:
            _check_exists(connection, self._id)
            return work(connection)

        return await self._database.run(checked)

    async def _write(self) -> None:
        """Write while rows are waiting: those that arrive during one write share the next."""
        while self._waiting:
            group, self._waiting = self._waiting, []
            rows = [row for row, _ in group]
            try:
                new, recovered = await self._database.run(partial(save_rows, run=self._id, rows=rows))
            except BaseException as error:
                _fail(group, error)
                # Cancellation ends the writer. After an ordinary error the rows that wait get their own attempt.
                if not isinstance(error, Exception):
                    raise
                continue
            self.failed += sum(row.error for row in new) - recovered
            self.done += sum(not row.error for row in new) + recovered
            for _, saved in group:
                if not saved.done():
                    saved.set_result(None)


def _fail(group: list[tuple[RowResult, asyncio.Future[None]]], error: BaseException) -> None:
    """Pass an error on to the tasks that wait for their rows."""
    for _, saved in group:
        if isinstance(error, Exception) and not saved.done():
            saved.set_exception(error)
        else:
            saved.cancel()


async def _delete_run(database: Database, run: int) -> None:
    """Delete what is left of a run that is marked for deletion, and give its space back to the disk."""
    await _delete_records(database, run)
    await database.run(lambda connection: connection.execute("DELETE FROM runs WHERE id = ?", (run,)).rowcount)
    await release_space(database)


async def _delete_records(database: Database, run: int) -> None:
    # In steps, so that others can write in between and the write-ahead log stays short.
    rows, after = _DELETED_AT_ONCE if database.url else _DELETED_ROWS, -1
    while (last := await database.run(partial(_delete_some, run=run, after=after, rows=rows))) is not None:
        after = last


def _delete_some(connection: Connection, run: int, after: int, rows: int) -> int | None:
    """Delete the next records after a row; return the last of them, None where there were none."""
    # Never from the beginning again: PostgreSQL would pass by all that the steps before have deleted.
    last = connection.execute(_STEP, (run, after, rows)).fetchone()[0]
    if last is not None:
        connection.execute(_DELETE, (run, after, last))
    return last


def open_run(
    connection: Connection, *, key: str, total: int | None, metadata: dict[str, Any]
) -> tuple[int, int | None, dict[str, Any], int, int]:
    """Return id, total, metadata, and the numbers of done and failed rows."""
    now = int(clock.now())
    with transaction(connection):
        # Only marked here: deleting takes many steps, in which others must be able to write.
        expired = now - KEPT_DAYS * _SECONDS_PER_DAY
        connection.execute("UPDATE runs SET key = NULL WHERE touched < ? AND key <> ?", (expired, key))
        connection.execute(
            # A total that is not known yet does not erase one that is.
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET total = coalesce(excluded.total, runs.total), touched = excluded.touched",
            (secrets.randbits(62), key, total, json.dumps(metadata), now),
        )
    run, kept_total, kept_metadata = connection.execute(_FIND, (key,)).fetchone()
    done, failed = connection.execute(_COUNT, (run,)).fetchone()
    return run, kept_total, json.loads(kept_metadata), done, failed


def _unfinished(connection: Connection) -> list[UnfinishedRun]:
    found = connection.execute(
        "SELECT id, key, about, total, touched FROM runs WHERE key IS NOT NULL ORDER BY touched DESC"
    ).fetchall()
    runs: list[UnfinishedRun] = []
    for run, key, about, total, touched in found:
        done, failed = connection.execute(_COUNT, (run,)).fetchone()
        runs.append(UnfinishedRun(key, json.loads(about), done, failed, total, touched))
    return runs


def _discard(connection: Connection, run: int, rows: list[int]) -> tuple[int, int]:
    """Delete rows; return how many are done and failed of those that are left."""
    with transaction(connection):
        connection.executemany("DELETE FROM records WHERE run = ? AND row = ?", [(run, row) for row in rows])
    done, failed = connection.execute(_COUNT, (run,)).fetchone()
    return done, failed


def _mark_for_deletion(connection: Connection, run: int) -> None:
    """Remove the key of a run in one step: from here on it is not found any more."""
    connection.execute("UPDATE runs SET key = NULL WHERE id = ?", (run,))


def _marked_for_deletion(connection: Connection) -> set[int]:
    return _rows(connection, "SELECT id FROM runs WHERE key IS NULL")


def _check_exists(connection: Connection, run: int, held: str = "") -> None:
    if connection.execute(_EXISTS + held, (run,)).fetchone() is None:
        raise CheckpointLost(
            "The checkpoint of this batch is no longer in the store: it was removed, or the file was replaced.",
            next_step="Make the same call again: it starts over.",
        )


def save_rows(connection: Connection, run: int, rows: list[RowResult]) -> tuple[list[RowResult], int]:
    """Write rows; return those that are new, and how many rows that had failed have now succeeded."""
    # In one order everywhere, so that two processes never wait for each other's rows; stable, for a row saved twice.
    rows = sorted(rows, key=lambda row: row.row)
    now = int(clock.now())
    with transaction(connection):
        # Before the check, which holds the run: of two that hold it neither could change it.
        connection.execute(_TOUCH, (now, run, now - _TOUCH_SECONDS))
        # Held, so that a run is never removed between the check and the rows.
        _check_exists(connection, run, connection.for_share)
        inserted = connection.execute_each(_INSERT, [(run, row.row, row.error, row.record) for row in rows])
        known = [row for row, is_new in zip(rows, inserted, strict=True) if not is_new]
        replaced = connection.execute_each(_REPLACE_FAILURE, [(row.error, row.record, run, row.row) for row in known])
    new = [row for row, is_new in zip(rows, inserted, strict=True) if is_new]
    recovered = sum(not row.error for row, is_replaced in zip(known, replaced, strict=True) if is_replaced)
    return new, recovered


def _rows(connection: Connection, statement: str, values: tuple[int, ...] = ()) -> set[int]:
    return {row for (row,) in connection.execute(statement, values)}


def _page(connection: Connection, run: int, after: int) -> list[RowResult]:
    page, size = list[RowResult](), 0
    following = connection.execute(_NEXT, (run, after)).fetchone()[0] or 0  # where none is left
    cursor = connection.execute(_PAGE, (run, after, following + _PAGE_ROWS - 1))
    for row, record, error in cursor:
        page.append(RowResult(row, record, bool(error)))
        size += len(record)
        if size >= _PAGE_BYTES:
            break
    # An open cursor keeps its read transaction, which stops others from truncating the write-ahead log.
    cursor.close()
    return page
