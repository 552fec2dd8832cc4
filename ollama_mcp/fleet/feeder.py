"""The home of a run: reads its input once, in order, and gives the rows out to workers as ranges."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, cast

from ollama_mcp.errors import Declined, DiskError, OllamaMCPError
from ollama_mcp.fleet import tables
from ollama_mcp.fleet.ranges import RunTask, encode_rows, error_of
from ollama_mcp.fleet.tables import WINDOW, Status
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL
from ollama_mcp.store.batches import BatchRun, CheckpointLost
from ollama_mcp.store.patient import PatientDatabase
from ollama_mcp.work.batch.pool import read_page
from ollama_mcp.work.batch.processors import RowLoader
from ollama_mcp.work.batch.run import count_done, stopped
from ollama_mcp.work.batch.sources import FileListSource
from ollama_mcp.work.threads import run_in_thread

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.work.batch.elsewhere import RowsToDo
    from ollama_mcp.work.batch.rows import InputRow

# A range takes so long where its rows take as long as those before.
_RANGE_SECONDS = 40.0
_LEAST_REQUESTS = 16
_MOST_ROWS = 5_000
_MOST_CHARS = 4_000_000
# The first ranges say little of the pace: each may be so many times the largest that is done, or take so long by it.
_GROWTH, _SURE_SECONDS = 8, 1.0
# Towards the end they get smaller, until their beginning and end would cost more than their rows.
_LEAST_SECONDS = 0.1
# Until the pace is known: those that a worker has at work, and the next.
_FIRST_RANGES = 3
_MOST_COST = 10_000.0
_SHORTEST_POLL, _LONGEST_POLL = 0.02, 0.5
# Looks while the rows that are given out are worked on.
_LOOKS = 8
_ALIVE_SECONDS = 1.0
_CANCEL_SECONDS = 3.0
_READ_FILES = 32


class FleetOfWorkers:
    """The workers that share a store; see `Workers`.

    Args:
        lost_seconds: Seconds without a sign of life after which a worker is lost.
    """

    def __init__(self, lost_seconds: float) -> None:
        self._lost_seconds = lost_seconds

    async def work_on(self, batch: RowsToDo) -> list[str] | None:
        """See `Workers`: None where no worker of this version is alive, or whoever asks may use some hosts only."""
        principal = CURRENT_PRINCIPAL.get()
        if principal is not None and principal.limits.hosts:
            return None
        if batch.progress.finished >= batch.progress.total and not batch.checkpoint.failed:
            return None
        feeder = _Feeder(batch, self._lost_seconds)
        try:
            return await feeder.run() if await feeder.alive() else None
        except OllamaMCPError as error:
            raise stopped(error, batch.progress) from error.__cause__


class _Feeder:
    """Gives out one run."""

    def __init__(self, batch: RowsToDo, lost_seconds: float) -> None:
        self._batch, self._lost_seconds = batch, lost_seconds
        self._database = PatientDatabase(batch.call.store.database, self._tell)
        self._run, self._last = batch.checkpoint.id, batch.progress.last
        self._checkpoint = BatchRun(cast("Database", self._database), "", self._run, None, {}, 0, 0)
        self._task = RunTask.of(batch)
        self._rows: Iterator[InputRow] = batch.source.rows()
        self._loader = RowLoader(batch.call, batch.source) if isinstance(batch.source, FileListSource) else None
        self._waiting: deque[InputRow] = deque()
        self._failed: frozenset[int] = frozenset()
        self._read = self._no = self._spent = self._turn = 0
        self._at_end = self._is_new = False
        self._left_here = 0
        self._alive_at, self._workers = -math.inf, 0
        self._said = ""

    async def run(self) -> list[str]:
        """Give all rows out and wait for them; returns notes.

        Raises:
            OllamaMCPError: Why the run was stopped.
        """
        batch, progress = self._batch, self._batch.progress
        batch.call.progress.run = self._run
        begin = partial(tables.begin, run=self._run, task=self._task.encode(), job=batch.call.progress.job)
        fed, self._no = await self._database.run(begin)
        if not fed:
            # What failed in an earlier call is tried again.
            self._failed = frozenset(await self._failures())
            self._is_new = not (batch.checkpoint.done or batch.checkpoint.failed)
        before = await self._status()
        self._spent = before.spent
        try:
            await self._skip(fed)
            await self._feed(before)
            # Before the rows that are left to do here are read: rows of an old and a new content must not mix.
            await asyncio.to_thread(batch.source.check_unchanged)
        except BaseException:
            await self._cancel()
            # A database that is away is not waited for.
            with suppress(TimeoutError):
                async with asyncio.timeout(_CANCEL_SECONDS):
                    await self._count()
            raise
        await self._count()
        notes = await self._database.run(partial(tables.forget, run=self._run))
        if self._left_here:
            notes.append(f"{self._left_here:,} rows cannot be sent to workers, such as images; this server did them.")
        progress.answered = True
        return [note for note in notes if note not in batch.processor.notes]

    async def _feed(self, before: Status) -> None:
        poll, kept = _SHORTEST_POLL, before.kept
        while True:
            status = await self._status()
            if status.state != "running":
                raise _ended(status)
            unfinished, window = status.unfinished, WINDOW
            if not status.paces:
                window = min(WINDOW, _FIRST_RANGES * max(1, await self.alive()))
            while unfinished < window and not self._is_fed:
                unfinished += await self._feed_range(status)
            self._count_spent(status.spent)
            if self._is_fed and not unfinished:
                return
            if (principal := CURRENT_PRINCIPAL.get()) is not None:
                # Busy where there are none left.
                principal.account.check_tokens(principal.name, principal.limits)
            await self._report(status, before)
            poll = min(2 * poll if status.kept == kept else await self._seconds_left(status) / _LOOKS, _LONGEST_POLL)
            kept = status.kept
            await asyncio.sleep(poll := max(poll, _SHORTEST_POLL))

    async def _seconds_left(self, status: Status) -> float:
        """About how long the rows take that were given out; 0 where their pace is not known."""
        if not status.paces:
            return 0.0
        return status.rows_left / (2 * max(1, await self.alive()) * statistics.median(status.paces))

    @property
    def _is_fed(self) -> bool:
        return self._at_end and not self._waiting

    async def _status(self) -> Status:
        return await self._database.run(partial(tables.status, run=self._run))

    async def _report(self, status: Status, before: Status) -> None:
        progress, call = self._batch.progress, self._batch.call
        progress.reach(
            min(status.kept - before.kept, progress.total - progress.done_before),
            status.read - before.read,
            status.written - before.written,
        )
        self._said = "" if await self.alive() else ", no worker of this version is alive (ollama-mcp-server worker)"
        await call.progress.update(progress.finished, lambda: f"{progress}{self._said}", total=progress.total)

    async def _tell(self, error: DiskError) -> None:
        self._said = ", waiting for the database"

    async def alive(self) -> int:
        """How many workers are, seen anew every second."""
        if (now := time.monotonic()) - self._alive_at >= _ALIVE_SECONDS:
            self._workers = await self._database.run(partial(tables.workers_alive, seconds=self._lost_seconds))
            self._alive_at = now
        return self._workers

    def _count_spent(self, whole: int) -> None:
        """Count the tokens of workers for whoever asked, by what they spent in the whole run."""
        spent, self._spent = whole - self._spent, whole
        if spent > 0 and (listener := self._batch.call.store.usage.listener) is not None:
            listener(spent)

    async def _feed_range(self, status: Status) -> int:
        """Give out the next range; returns how many ranges that were: 0 or 1."""
        rows = await self._cut(await self._size(status))
        fed = self._waiting[0].number - 1 if self._waiting else self._read
        encoded = await asyncio.to_thread(encode_rows, rows)
        numbers = tuple(row.number for row in rows)
        turn = await self._database.run(
            partial(
                tables.feed, run=self._run, no=self._no + 1, numbers=numbers, rows=encoded, fed=fed, turn=self._turn
            )
        )
        if turn is None:
            raise _ended(await self._status())
        if not rows:
            return 0
        self._no, self._turn = self._no + 1, turn + _cost(len(rows), status)
        # A change is seen with the next range; what was given out before was the old content.
        await asyncio.to_thread(self._batch.source.check_unchanged)
        return 1

    async def _size(self, status: Status) -> int:
        least = min(_LEAST_REQUESTS * self._batch.processor.rows_per_request, _MOST_ROWS)
        if not status.paces:
            return least
        pace = statistics.median(status.paces)
        size = min(_RANGE_SECONDS * pace, max(_GROWTH * status.largest, _SURE_SECONDS * pace), _MOST_ROWS)
        # Towards the end all are to have something to do.
        left = self._last - self._read + len(self._waiting)
        shared = max(left / (2 * max(1, await self.alive())), _LEAST_SECONDS * pace)
        return max(least, math.ceil(min(size, shared)))

    async def _cut(self, size: int) -> list[InputRow]:
        """The next rows, as many as fit a range."""
        rows: list[InputRow] = []
        chars = 0
        while len(rows) < size and chars < _MOST_CHARS:
            if not self._waiting and not await self._read_more():
                break
            # The texts of a few files are in memory at a time.
            some = min(size - len(rows), len(self._waiting), _READ_FILES if self._loader else size)
            found = [self._waiting.popleft() for _ in range(some)]
            if self._loader is not None:
                found = await self._loaded(found)
            rows += found
            chars += sum(row.chars for row in found)
        return rows

    async def _loaded(self, rows: Sequence[InputRow]) -> list[InputRow]:
        """The rows with the texts of their files; without those that have to be done here."""
        assert self._loader is not None
        loaded: list[InputRow] = []
        for row in rows:
            # Whose error it is, is told where the row is done.
            with suppress(OllamaMCPError):
                whole, images = await self._loader.load(row)
                if not images:
                    loaded.append(whole)
                    continue
            self._left_here += 1
        return loaded

    async def _read_more(self) -> bool:
        """Read a page; False at the end of the input."""
        if self._at_end:
            return False
        page = await run_in_thread(lambda _: read_page(self._rows, self._last))
        if not page:
            self._at_end = True
            return False
        self._read = page[-1].number
        self._at_end = self._read >= self._last
        first, last = page[0].number, page[-1].number
        if self._is_new:
            # Nothing is kept but what was given out before.
            self._waiting.extend(page)
            return True
        missing = set(await self._checkpoint.missing(first, last))
        self._waiting.extend(row for row in page if row.number in missing or row.number in self._failed)
        return True

    async def _skip(self, fed: int) -> None:
        """Go on behind a row: those up to it are in ranges, or done."""
        while self._read < fed and await self._read_more():
            while self._waiting and self._waiting[0].number <= fed:
                self._waiting.popleft()

    async def _failures(self) -> set[int]:
        found, after = set[int](), 0
        while page := await self._checkpoint.failures(after=after):
            found.update(row for row in page if row <= self._last)
            after = page[-1]
        return found

    async def _count(self) -> None:
        """Count what is kept, by whomever."""
        batch = self._batch
        with suppress(DiskError):
            await batch.checkpoint.recount()
            batch.progress.done = max(0, await count_done(batch.checkpoint, self._last) - batch.progress.done_before)

    async def _cancel(self) -> None:
        """End the work of others, also where this task is cancelled; a database that is away is not waited for."""
        cancelling = asyncio.ensure_future(self._batch.call.store.database.run(partial(tables.cancel, run=self._run)))
        cancelling.add_done_callback(self._cancelled)
        await asyncio.wait({cancelling}, timeout=_CANCEL_SECONDS)

    def _cancelled(self, cancelling: asyncio.Future[int]) -> None:
        if not cancelling.cancelled() and cancelling.exception() is None:
            self._count_spent(max(self._spent, cancelling.result()))


def _cost(rows: int, status: Status) -> int:
    """What rows cost a worker, in tenths of a second; 1 where nothing is known of their pace."""
    return math.ceil(min(10 * rows / statistics.median(status.paces), _MOST_COST)) if status.paces else 1


def _ended(status: Status) -> OllamaMCPError:
    """Why a run does not go on."""
    if status.reason is not None:
        return error_of(status.reason)
    if status.state:
        return Declined("The batch was cancelled elsewhere.")
    return CheckpointLost("The batch is no longer in the store.", next_step="Make the same call again: it starts over.")
