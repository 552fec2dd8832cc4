"""One run of a batch: its records, saved many at a time, read page by page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ollama_mcp.errors import DiskError
from ollama_mcp.store.database import transaction

if TYPE_CHECKING:
    from sqlite3 import Connection

    from ollama_mcp.store.database import Database

T = TypeVar("T")

# A page of records, whichever comes first; one record may be larger than that.
_PAGE_ROWS = 500
_PAGE_BYTES = 4_000_000
_DELETED_ROWS = 1_000
_FREED_PAGES = 2_000
# How exactly it is known when a run was last worked on; finer would write more.
_TOUCH_SECONDS = 3_600

_EXISTS = "SELECT 1 FROM runs WHERE id = ? AND key IS NOT NULL"
_TOUCH = "UPDATE runs SET touched = ? WHERE id = ? AND touched < ?"
_INSERT = "INSERT INTO records (run, row, error, record) VALUES (?, ?, ?, ?) ON CONFLICT (run, row) DO NOTHING"
_MEND = "UPDATE records SET error = ?, record = ? WHERE run = ? AND row = ? AND error = 1"
_KNOWN = "SELECT row FROM records WHERE run = ? AND row BETWEEN ? AND ?"
_FAILED = "SELECT row FROM records WHERE run = ? AND error = 1 AND row > ? ORDER BY row LIMIT ?"
_PAGE = "SELECT row, record, error FROM records WHERE run = ? AND row > ? ORDER BY row LIMIT ?"
_DELETE = "DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE run = ? LIMIT ?)"


class CheckpointLost(DiskError):
    """The run is no longer in the store, and nothing that was kept of it."""


class RowResult(NamedTuple):
    """What a row came to.

    Attributes:
        row: Number of the row.
        record: What the caller saved of it.
        error: Whether it failed.
    """

    row: int
    record: bytes
    error: bool


class BatchRun:
    """A run: which rows are done, and what they came to. It holds what users gave and models answered.

    One caller at a time may work on a run; its rows may be saved by any number of tasks.

    Attributes:
        key: The key that it was opened with.
        total: Rows in all, where that is known.
        about: What was said of it when it began.
        done: Rows that succeeded.
        failed: Rows that failed.
    """

    def __init__(
        self,
        database: Database,
        run: int,
        key: str,
        *,
        total: int | None,
        about: dict[str, Any],
        done: int,
        failed: int,
    ) -> None:
        self._database, self._id = database, run
        self.key, self.total, self.about, self.done, self.failed = key, total, about, done, failed
        self._waiting: list[tuple[RowResult, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def missing(self, first: int, last: int) -> list[int]:
        """Return those of the rows `first` to `last`, both included, of which there is no record, in order.

        Raises:
            DiskError: The store cannot be used, or the run is no longer in it.
        """
        known = await self._run(lambda connection: _rows(connection, _KNOWN, (self._id, first, last)))
        return [row for row in range(first, last + 1) if row not in known]

    async def failures(self, *, after: int = -1, count: int = 10_000) -> list[int]:
        """Return the next rows that failed, in order, beginning after a row.

        Raises:
            DiskError: The store cannot be used, or the run is no longer in it.
        """
        return sorted(await self._run(lambda connection: _rows(connection, _FAILED, (self._id, after, count))))

    async def save(self, index: int, record: bytes, *, error: bool) -> None:
        """Keep what a row came to; once this returns it outlives the process, however that ends.

        Rows that wait at the same moment share one write. A failure is replaced by what comes later, a success never.

        Raises:
            DiskError: The store cannot be used, or the run is no longer in it; the row is not kept.
        """
        saved = asyncio.get_running_loop().create_future()
        self._waiting.append((RowResult(index, record, error), saved))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await saved

    async def records(self) -> AsyncGenerator[RowResult]:
        """Give all records in the order of their rows, a few megabytes in memory at a time; nothing stays locked.

        Raises:
            DiskError: The store cannot be used, or the run is no longer in it.
        """
        after = -1
        while page := await self._run(partial(_page, run=self._id, after=after)):
            for record in page:
                yield record
            after = page[-1].row

    async def reset(self) -> None:
        """Delete all records, so that the run begins anew. They are overwritten, as with `remove`.

        Raises:
            DiskError: The store cannot be used.
        """
        await _delete_records(self._database, self._id)
        await _give_back(self._database)
        self.done = self.failed = 0

    async def remove(self) -> None:
        """Delete the run with all its records.

        The records hold content of the user. They are overwritten with zeros in the file and the write-ahead log is
        cut to nothing, as far as other processes that read at that moment let it; what the disk itself keeps of old
        blocks is beyond a program. A removal that is cut short is brought to its end when a batch is opened.

        Raises:
            DiskError: The store cannot be used.
        """
        await self._database.run(lambda connection: _forget(connection, self._id))
        await clear(self._database, self._id)
        self.done = self.failed = 0

    async def _run(self, work: Callable[[Connection], T]) -> T:
        """Read from the run, which has to be there: of a store that was replaced, no row is not the answer."""

        def checked(connection: Connection) -> T:
            _check(connection, self._id)
            return work(connection)

        return await self._database.run(checked)

    async def _write(self) -> None:
        """Write as long as rows wait: all that came during one write share the next."""
        while self._waiting:
            group, self._waiting = self._waiting, []
            rows = [row for row, _ in group]
            try:
                new, mended = await self._database.run(partial(_save, run=self._id, rows=rows))
            except BaseException as error:
                _refuse(group, error)
                if not isinstance(error, Exception):
                    raise
                continue
            self.failed += sum(row.error for row in new) - mended
            self.done += sum(not row.error for row in new) + mended
            for _, saved in group:
                if not saved.done():
                    saved.set_result(None)


async def clear(database: Database, run: int) -> None:
    """Delete what is left of a run that was forgotten, and give its space back to the disk.

    Raises:
        DiskError: The store cannot be used.
    """
    await _delete_records(database, run)
    await database.run(lambda connection: connection.execute("DELETE FROM runs WHERE id = ?", (run,)).rowcount)
    await _give_back(database)


async def _delete_records(database: Database, run: int) -> None:
    # In steps: others write in between, and the log stays short.
    while await database.run(lambda connection: connection.execute(_DELETE, (run, _DELETED_ROWS)).rowcount):
        pass


async def _give_back(database: Database) -> None:
    while await database.try_to_run(_free, False):
        pass


def _refuse(group: list[tuple[RowResult, asyncio.Future[None]]], error: BaseException) -> None:
    for _, saved in group:
        if saved.done():
            continue
        if isinstance(error, Exception):
            saved.set_exception(error)
        else:
            saved.cancel()


def _check(connection: Connection, run: int) -> None:
    if connection.execute(_EXISTS, (run,)).fetchone() is None:
        raise CheckpointLost(
            "The checkpoint of this batch is no longer in the store: it was removed, or the file was replaced.",
            next_step="Make the same call again: it begins anew.",
        )


def _save(connection: Connection, run: int, rows: list[RowResult]) -> tuple[list[RowResult], int]:
    """Write rows; return those that are new, and how many that had failed have succeeded."""
    new: list[RowResult] = []
    mended = 0
    now = int(time.time())
    with transaction(connection):
        _check(connection, run)
        connection.execute(_TOUCH, (now, run, now - _TOUCH_SECONDS))
        for row in rows:
            if connection.execute(_INSERT, (run, row.row, row.error, row.record)).rowcount == 1:
                new.append(row)
            elif connection.execute(_MEND, (row.error, row.record, run, row.row)).rowcount == 1:
                mended += not row.error
    return new, mended


def _rows(connection: Connection, statement: str, values: tuple[int, ...]) -> set[int]:
    return {row for (row,) in connection.execute(statement, values)}


def _page(connection: Connection, run: int, after: int) -> list[RowResult]:
    page: list[RowResult] = []
    size = 0
    cursor = connection.execute(_PAGE, (run, after, _PAGE_ROWS))
    for row, record, error in cursor:
        page.append(RowResult(row, record, bool(error)))
        size += len(record)
        if size >= _PAGE_BYTES:
            break
    # Else the statement would go on reading, and hold up whoever wants to shorten the log.
    cursor.close()
    return page


def _forget(connection: Connection, run: int) -> None:
    """Take the run's key, in one step: from here on it is not found any more."""
    connection.execute("UPDATE runs SET key = NULL WHERE id = ?", (run,))


def _free(connection: Connection) -> bool:
    """Give some free pages back, and shorten the log in the end; return whether there is more to give back."""
    before = _free_pages(connection)
    connection.execute(f"PRAGMA incremental_vacuum({_FREED_PAGES})").fetchall()
    if 0 < _free_pages(connection) < before:
        return True
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return False


def _free_pages(connection: Connection) -> int:
    return connection.execute("PRAGMA freelist_count").fetchone()[0]
