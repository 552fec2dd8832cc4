"""Working on a range: the same rows, through the same code, as in a batch of one process."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ollama_mcp import __version__
from ollama_mcp.errors import InternalError, OllamaMCPError
from ollama_mcp.fleet import tables
from ollama_mcp.fleet.lanes import Lanes, ProcessLock, SharedProcessor
from ollama_mcp.fleet.ranges import RangeRun, RangeSource, RunTask, decode_rows, reason_of
from ollama_mcp.fleet.sweep import ALONE
from ollama_mcp.hosts.call_scope import CURRENT_CALL, CallScope
from ollama_mcp.store.batches import CheckpointLost
from ollama_mcp.store.patient import PatientDatabase
from ollama_mcp.store.spending import Spending
from ollama_mcp.work.batch.pool import BatchProgress
from ollama_mcp.work.batch.processors import HOST_FAILURES
from ollama_mcp.work.batch.run import prepare_processor, work_on_rows
from ollama_mcp.work.model_watch import ModelWatch

if TYPE_CHECKING:
    from ollama_mcp.fleet.tables import Range
    from ollama_mcp.work.batch.processors import RowProcessor
    from ollama_mcp.work.batch.rows import InputRow
    from ollama_mcp.work.call_context import CallContext

log = logging.getLogger(__name__)

_REPLACED = "The same call processes all rows again with the current model."
# Two share the lanes, so that none is idle while the last rows of a range are worked on.
RANGES = 2
# Processors that are kept for further ranges of their runs.
_MOST_RUNS = 8
_LONGEST_DELAY = 30.0
# How long a range that only a worker of another version may do is left to such a one.
_OTHERS_SECONDS = 2.0
# About five minutes in which no row of a range found a host.
_MOST_RETURNS = 14
# The tokens of the range that a task works on.
_SPENT: ContextVar[list[int] | None] = ContextVar("spent", default=None)

# Around the work on a range: given whose batch it is, so that what it exchanges with hosts is theirs in the ledger.
Recorded = Callable[[str], AbstractContextManager[None]]


class RangeWorker:
    """Works on ranges, a few at a time.

    Args:
        call: The context in which they are worked on.
        lanes: How many requests are sent at a time, of all ranges.
        recorded: Records the work on a range; None records nothing.

    Attributes:
        lanes: The lanes.
        at_work: The jobs that are worked on now.
    """

    def __init__(self, call: CallContext, lanes: int, recorded: Recorded | None = None) -> None:
        self.lanes = Lanes(lanes)
        self._recorded = recorded or _not_recorded
        self._spending = Spending(call.store.database)
        self.at_work: set[int] = set()
        self._call = _with_parallel(call, lanes)
        self._database = PatientDatabase(call.store.database)
        self._refused: set[str] = set()
        self._process = ProcessLock()
        self._processors: dict[tuple[int, str], asyncio.Future[RowProcessor]] = {}
        usage = call.store.usage
        usage.listener = partial(_spend, usage.listener)

    async def work(self, run: int, no: int, job: int) -> None:
        """Work on a range as its job; who does not own it any more leaves it."""
        self.at_work.add(job)
        try:
            part = await self._database.run(partial(tables.take, run=run, no=no, job=job))
            if part is not None:
                async with self._process.hold(alone=part.deaths >= ALONE):
                    await self._work(part)
        except CheckpointLost:
            log.info("Range %d of run %d is no longer this worker's.", no, run)
        finally:
            self.at_work.discard(job)

    async def _work(self, part: Range) -> None:
        CURRENT_CALL.set(CallScope(bulk=True))
        if (version := RunTask.version_of(part.task)) != __version__:
            if version not in self._refused:
                self._refused.add(version)
                log.warning(
                    "Rows of servers of %s go back: this worker is of version %s, and might make other rows of them. "
                    "Install one version everywhere.",
                    *(f"version {version}" if version else "an earlier version", __version__),
                )
            await self._give_back(part, _OTHERS_SECONDS)
            return
        try:
            await self._work_on_rows(part)
        except CheckpointLost:
            raise
        except HOST_FAILURES as error:
            if part.returns >= _MOST_RETURNS:
                await self._stop(part, error)
                return
            delay = min(_LONGEST_DELAY, 2.0**part.returns)
            log.warning("Range %d of run %d goes back: %s", part.no, part.run, error.message)
            # A worker whose host is gone leaves the ranges to others.
            await self._give_back(part, delay)
        except OllamaMCPError as error:
            await self._stop(part, error)
        except Exception as error:
            log.exception("Range %d of run %d", part.no, part.run)
            await self._stop(part, InternalError(f"A worker failed: {type(error).__name__}.", next_step="See its log."))

    async def _give_back(self, part: Range, delay: float) -> None:
        """Let another worker have a range, and take none for as long."""
        await self._database.run(partial(tables.give_back, mine=part.mine, delay=delay))
        await asyncio.sleep(delay)

    async def _work_on_rows(self, part: Range) -> None:
        task, rows = RunTask.decode(part.task), await asyncio.to_thread(decode_rows, part.rows)
        spent = [part.spent]
        _SPENT.set(spent)
        source = RangeSource(task, rows, f"range {part.no}")
        numbers = [row.number for row in rows]
        call = replace(self._call, settings=task.settings_from(self._call.settings))
        checkpoint = RangeRun(self._database, part, numbers, spent)
        try:
            with self._recorded(task.who):
                done = await self._ask(part, task, call, source, checkpoint)
            if not await self._database.run(partial(done, spent=sum(spent))):
                # Rows that found no host were not kept.
                await self._database.run(partial(tables.give_back, mine=part.mine, delay=1.0))
            checkpoint.counted = sum(spent)
        finally:
            # Of rows that were not kept, such as those of a run that was cancelled, the home never hears.
            if task.is_limited and (rest := sum(spent) - checkpoint.counted) > 0:
                self._spending.add(task.who, rest)

    async def _ask(
        self, part: Range, task: RunTask, call: CallContext, source: RangeSource, checkpoint: RangeRun
    ) -> Callable[..., bool]:
        """Ask for the rows that have no record; returns what notes that the range is done."""
        numbers = [row.number for row in source.rows()]
        inner = await self._processor(call, part, task, source)
        watch = ModelWatch(call, inner.model, task.digest, _REPLACED)
        await watch.check()
        progress = BatchProgress(len(numbers), len(numbers) - checkpoint.to_do, last=part.last)
        before = None
        if part.deaths >= ALONE:
            before, call = partial(self._place, part), _with_parallel(call, 1)
        processor = SharedProcessor(inner, self.lanes, before)
        await self._database.run(partial(tables.set_out, mine=part.mine))
        with call.in_use.track(inner.model):
            try:
                await work_on_rows(call, processor, source, checkpoint, progress, watch, task.digest)
            except OllamaMCPError:
                # What was answered is kept while the range is still this worker's.
                await checkpoint.settled()
                raise
            await checkpoint.settled()
        # Of all its rows, with its part of the lanes: what the queue and the store take says nothing of rows.
        seconds = processor.busy * RANGES / self.lanes.number * len(numbers) / max(1, checkpoint.to_do)
        notes, counts = json.dumps(list(inner.notes)), (progress.prompt_tokens, progress.tokens)
        return partial(tables.finish, mine=part.mine, numbers=numbers, counts=counts, seconds=seconds, notes=notes)

    async def _processor(self, call: CallContext, part: Range, task: RunTask, source: RangeSource) -> RowProcessor:
        """The processor of a run: made with its first range, as it looks at the model."""
        # A run that begins anew may have another task.
        key = part.run, part.task
        if (found := self._processors.get(key)) is None:
            while len(self._processors) >= _MOST_RUNS:
                del self._processors[next(iter(self._processors))]
            found = asyncio.ensure_future(prepare_processor(call, task.spec, source, task.total))
            self._processors[key] = found
        try:
            return await asyncio.shield(found)
        except OllamaMCPError:
            # The next range tries again.
            if self._processors.get(key) is found:
                del self._processors[key]
            raise

    async def aclose(self) -> None:
        """Write what is left to write."""
        await self._spending.aclose()

    async def _place(self, part: Range, row: InputRow) -> None:
        await self._database.run(partial(tables.place, mine=part.mine, row=row.number))

    async def _stop(self, part: Range, error: OllamaMCPError) -> None:
        log.warning("Run %d stops: %s", part.run, error.message)
        await self._database.run(partial(tables.stop, mine=part.mine, reason=reason_of(error)))


def _with_parallel(call: CallContext, parallel: int) -> CallContext:
    """The context with so many requests at a time for each range."""
    settings = call.settings
    work = settings.work.model_copy(update={"parallel": parallel})
    return replace(call, settings=settings.model_copy(update={"work": work}))


@contextmanager
def _not_recorded(who: str) -> Generator[None]:
    yield


def _spend(otherwise: Callable[[int], None] | None, tokens: int) -> None:
    """Count the tokens of a range for its run; those of a server's calls go where they went before."""
    if (spent := _SPENT.get()) is not None:
        spent.append(tokens)
    elif otherwise is not None:
        otherwise(tokens)
