"""The worker pool of a batch: a queue of rows, tasks that work on them at the same time, and their progress."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Container, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ollama_mcp.errors import OllamaMCPError, RunnerFailed, Unreachable
from ollama_mcp.formats.durations import format_seconds
from ollama_mcp.work.batch.pace import Pace
from ollama_mcp.work.batch.processors import HOST_FAILURES, RETRYABLE, RowOutcome, RowProcessor
from ollama_mcp.work.batch.rows import InputRow
from ollama_mcp.work.parallel import Ramp, run_parallel
from ollama_mcp.work.threads import run_in_thread

if TYPE_CHECKING:
    from ollama_mcp.store import BatchRun
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.model_watch import ModelWatch

PAGE_ROWS = 256
# A page of long rows is shorter, since two pages are in memory at a time.
PAGE_CHARS = 2_000_000
# Consecutive requests, for each task, that the host fails and after which the batch stops. More than one for each: a
# runner that dies of one row takes the requests beside it along.
_FAILURES_PER_TASK = 3


class BatchProgress:
    """Counts what this call has done.

    Attributes:
        total: Rows in all.
        last: Number of the last of them.
        done_before: Rows that earlier calls did.
        done: Rows that this call did, failed ones among them.
        prompt_tokens: Tokens that were read.
        tokens: Tokens that were written.
        unreached: Rows that found no host, or whose runner died in the first pass: they are not done.
        crashes: How often a runner died in the first pass.
        crash: The last of these errors.
        answered: Whether any row was answered.
        unverified: Rows that were kept since the model was last seen unchanged.
        permanent_failures: Rows whose errors a second attempt would meet again.
        pace: How many rows were done when.
    """

    def __init__(self, total: int, done_before: int, last: int | None = None) -> None:
        self.total, self.done_before = total, done_before
        self.last = total if last is None else last
        self.done = self.prompt_tokens = self.tokens = 0
        self.unreached: set[int] = set()
        self.permanent_failures: set[int] = set()
        self.unverified: set[int] = set()
        self.crashes = 0
        self.crash: RunnerFailed | None = None
        self.answered = False
        self.pace = Pace()
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long this call has worked."""
        return time.monotonic() - self._started

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def finished(self) -> int:
        """Rows that are done, by this call or before."""
        return self.done_before + self.done

    def add(self, outcome: RowOutcome, *, is_counted: bool) -> None:
        """Count a row and its tokens; of one that is counted already (`is_counted`), only the tokens."""
        self.done += not is_counted
        self.pace.add()
        self.answered = self.answered or outcome.error is None
        self.prompt_tokens += outcome.tokens[0]
        self.tokens += outcome.tokens[1]
        if outcome.error is not None and not isinstance(outcome.error, RETRYABLE):
            self.permanent_failures.add(outcome.row.number)

    def reach(self, done: int, prompt_tokens: int, tokens: int) -> None:
        """Set the counts to what others have done for this call."""
        for _ in range(done - self.done):
            self.pace.add()
        self.done, self.prompt_tokens, self.tokens = max(self.done, done), prompt_tokens, tokens

    def __str__(self) -> str:
        """How far it is: "412 of 2,000, 8.1/s, 3 min left"."""
        counted = f"{self.finished:,} of {self.total:,}"
        if not self.done:
            return counted
        left = format_seconds((self.total - self.finished) / self.rate)
        return f"{counted}, {self.rate:.3g}/s, {left} left"


class WorkerPool:
    """The tasks of one pass over the rows.

    Args:
        call: The context of the call.
        processor: Works on rows.
        checkpoint: Keeps what they come to.
        progress: Counts them.
        watch: Sees whether the model is still the same.
        parallel: How many tasks, or what finds that out.
        is_retry: Whether this is the second pass, over rows that failed and are counted already.
    """

    def __init__(
        self,
        call: CallContext,
        processor: RowProcessor,
        checkpoint: BatchRun,
        progress: BatchProgress,
        watch: ModelWatch,
        parallel: int | Ramp,
        *,
        is_retry: bool,
    ) -> None:
        self._call, self._processor, self._checkpoint = call, processor, checkpoint
        self._progress, self._watch, self._is_retry = progress, watch, is_retry
        self._host_failures = 0
        # A row that the runner dies of takes those beside it along, so that each is asked alone the second time.
        self._parallel = 1 if is_retry and progress.crashes else parallel

    async def run(self, queue: RowQueue) -> None:
        """Work on all rows of a queue.

        Raises:
            OllamaMCPError: The host, the model or the disk fails; what was done is kept.
        """
        failure: OllamaMCPError | None = None
        try:
            await run_parallel(self._parallel, partial(self._work_once, queue))
        except* OllamaMCPError as group:
            failure = _first(group)
        finally:
            # A page may still be read when a task fails.
            await queue.aclose()
        # Raised here and not within `except*`, which would wrap it in a group again.
        if failure is not None:
            raise failure

    async def _work_once(self, queue: RowQueue) -> bool:
        """Work on the next rows; False where there are none."""
        if not (rows := await queue.next()):
            return False
        ramp = self._parallel if isinstance(self._parallel, Ramp) else None
        begun = ramp.begin() if ramp is not None else 0.0
        outcomes = await self._processor.process(rows)
        # All are kept before any of them can stop the batch: the next call does not work on these rows again.
        if len(outcomes) == 1:
            await self._keep(outcomes[0])
        else:
            await asyncio.gather(*(self._keep(outcome) for outcome in outcomes))
        if ramp is not None:
            errors = [outcome.error for outcome in outcomes if outcome.error is not None]
            if any(isinstance(error, HOST_FAILURES) for error in errors):
                ramp.give_up()
            ramp.end(begun, failed=bool(errors))
        self._check_host(outcomes)
        if self._watch.is_due(len(outcomes)):
            await self.verify()
        return True

    async def verify(self, *, final: bool = False) -> None:
        """See whether the model is still the one that the batch began with.

        Raises:
            ModelReplaced: It is not. The rows of `unverified` may be of either.
        """
        seen = set(self._progress.unverified)
        if await self._watch.check(final=final):
            self._progress.unverified -= seen

    async def _keep(self, outcome: RowOutcome) -> None:
        progress, number = self._progress, outcome.row.number
        if isinstance(outcome.error, RunnerFailed) and not self._is_retry:
            progress.crashes, progress.crash = progress.crashes + 1, outcome.error
            progress.unreached.add(number)
            return
        if isinstance(outcome.error, Unreachable):
            # Not kept, so that it is not done: it is asked for again in the second pass or by the next call.
            progress.unreached.add(number)
            return
        # Before it is kept: a task that is cancelled meanwhile may have kept it all the same.
        progress.unverified.add(number)
        await self._checkpoint.save(number, outcome.data, error=outcome.error is not None)
        progress.add(outcome, is_counted=self._is_retry and number not in progress.unreached)
        await self._call.progress.update(progress.finished, progress.__str__, total=progress.total)

    def _check_host(self, outcomes: Sequence[RowOutcome]) -> None:
        """Stop when the host fails request after request; in the second pass at once when it cannot be reached."""
        errors = [outcome.error for outcome in outcomes]
        failure = next((error for error in errors if isinstance(error, HOST_FAILURES)), None)
        # Rows that are wrong themselves were not sent, and say nothing of the host.
        if failure is None or any(error is None for error in errors):
            self._host_failures = 0
            return
        self._host_failures += 1
        tasks = self._parallel if isinstance(self._parallel, int) else self._parallel.parallel
        is_gone = isinstance(failure, Unreachable) and self._is_retry
        if is_gone or (self._host_failures >= _FAILURES_PER_TASK * tasks and not self._is_retry):
            raise failure


class RowQueue:
    """Gives out rows, each once, to several tasks; a page is read in a thread while the one before is worked on.

    Args:
        rows: All rows in order; iterated in threads.
        checkpoint: Knows which of them are done.
        last: Number of the last row that counts.
        size: How many rows are given out at a time.
        only: Numbers of the rows to give out, done or not; None gives out those that are not done.
    """

    def __init__(
        self, rows: Iterator[InputRow], checkpoint: BatchRun, last: int, size: int, only: Container[int] | None = None
    ) -> None:
        self._rows, self._checkpoint, self._last, self._size, self._only = rows, checkpoint, last, size, only
        self._waiting: deque[InputRow] = deque()
        self._next_page: asyncio.Task[list[InputRow] | None] | None = None
        # One task waits for the page; those that come meanwhile take their rows from it.
        self._lock = asyncio.Lock()

    async def next(self) -> list[InputRow]:
        """The next rows to work on; none at the end."""
        async with self._lock:
            # A page may be empty, since all of its rows are done.
            while not self._waiting:
                page = await (self._next_page or self._read_page())
                if page is None:
                    self._next_page = None
                    return []
                self._waiting.extend(page)
                self._next_page = asyncio.create_task(self._read_page())
            return [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]

    async def aclose(self) -> None:
        """Wait until nothing reads any more, so that the file can be closed."""
        if self._next_page is not None:
            # The thread goes on to the end of its page; a database that is away is not waited for.
            self._next_page.cancel()
            await asyncio.gather(self._next_page, return_exceptions=True)

    async def _read_page(self) -> list[InputRow] | None:
        """What is to be done of the next page; None at the end."""
        page = await run_in_thread(lambda _: read_page(self._rows, self._last))
        if not page:
            return None
        if self._only is not None:
            return [row for row in page if row.number in self._only]
        missing = set(await self._checkpoint.missing(page[0].number, page[-1].number))
        return [row for row in page if row.number in missing]


def read_page(rows: Iterator[InputRow], last: int) -> list[InputRow]:
    """The next rows up to number `last`, as many as fit a page; none at the end."""
    page: list[InputRow] = []
    chars = 0
    for row in rows:
        page.append(row)
        chars += row.chars
        if row.number >= last or len(page) >= PAGE_ROWS or chars >= PAGE_CHARS:
            break
    # Asked again after the last row, the iterator goes on with what is beyond it.
    return page if not page or page[0].number <= last else []


def _first(group: BaseExceptionGroup[OllamaMCPError]) -> OllamaMCPError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
