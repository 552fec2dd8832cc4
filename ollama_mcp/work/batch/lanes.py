"""Several rows at a time: worked on, kept, counted; stopped where it is the host and not the rows."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ollama_mcp.errors import OllamaMCPError, Unreachable
from ollama_mcp.formats.durations import shown_seconds
from ollama_mcp.work.batch.feed import Feed
from ollama_mcp.work.batch.workers import HOST_FAILURES, PASSING, Done, Worker

if TYPE_CHECKING:
    from ollama_mcp.store import BatchRun
    from ollama_mcp.work.context import CallContext

# Rows in a row that the host fails, for each lane, before it is the host's fault.
_FAILURES_PER_LANE = 3


class Tally:
    """What this call has done so far.

    Attributes:
        total: Rows in all.
        before: Rows that earlier calls had done.
        done: Rows that this call has done, well or not.
        prompt_tokens: Tokens that were read.
        tokens: Tokens that were written.
        unreached: Rows that found no host, and are not done.
        hopeless: Rows that failed in a way that a second try cannot mend.
    """

    def __init__(self, total: int, before: int) -> None:
        self.total, self.before = total, before
        self.done = self.prompt_tokens = self.tokens = 0
        self.unreached: set[int] = set()
        self.hopeless: set[int] = set()
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long this call has worked."""
        return time.monotonic() - self._began

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.done / self.seconds if self.seconds else 0.0

    def add(self, done: Done, *, again: bool) -> None:
        """Count a row, and what it took; one that is done again only that."""
        self.done += not again
        self.prompt_tokens += done.tokens[0]
        self.tokens += done.tokens[1]
        if done.error is not None and not isinstance(done.error, PASSING):
            self.hopeless.add(done.row.number)

    def __str__(self) -> str:
        """How far it is: "412 of 2,000, 8.1/s, 3 min left"."""
        ready = self.before + self.done
        said = f"{ready:,} of {self.total:,}"
        if not self.done:
            return said
        return f"{said}, {self.rate:.3g}/s, {shown_seconds((self.total - ready) / self.rate)} left"


class Lanes:
    """The lanes of one pass over the rows.

    Args:
        call: The context of the call.
        worker: Does the work.
        run: Keeps what came of it.
        tally: Counts.
        again: Whether it is the second pass: the host has to be there, and rows are counted already.
    """

    def __init__(self, call: CallContext, worker: Worker, run: BatchRun, tally: Tally, *, again: bool) -> None:
        self._kit, self._worker, self._run, self._tally, self._again = call, worker, run, tally, again
        self._failures = 0

    async def go_through(self, feed: Feed) -> None:
        """Work on all rows of a feed.

        Raises:
            OllamaMCPError: The host, the model or the disk fails; what was done is kept.
        """
        failure: OllamaMCPError | None = None
        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(self._kit.settings.work.parallel):
                    lanes.create_task(self._lane(feed))
        except* OllamaMCPError as failed:
            failure = _first(failed)
        finally:
            await feed.aclose()
        if failure is not None:
            raise failure

    async def _lane(self, feed: Feed) -> None:
        while rows := await feed.next():
            finished = await self._worker.work(rows)
            # First kept, then judged: a call that is made again does not meet the same rows again.
            await asyncio.gather(*(self._keep(done) for done in finished))
            for done in finished:
                self._judge(done)

    async def _keep(self, done: Done) -> None:
        tally, number = self._tally, done.row.number
        if isinstance(done.error, Unreachable):
            tally.unreached.add(number)
            return
        await self._run.save(number, done.data, error=done.error is not None)
        tally.add(done, again=self._again and number not in tally.unreached)
        await self._kit.progress.update(tally.before + tally.done, tally.__str__, total=tally.total)

    def _judge(self, done: Done) -> None:
        """Stop where the host fails row after row; in the second pass at once where there is none."""
        if not isinstance(done.error, HOST_FAILURES):
            self._failures = 0
            return
        self._failures += 1
        limit = _FAILURES_PER_LANE * self._kit.settings.work.parallel * self._worker.size
        gone = isinstance(done.error, Unreachable) and self._again
        if gone or (self._failures >= limit and not self._again):
            raise done.error


def _first(group: BaseExceptionGroup[OllamaMCPError]) -> OllamaMCPError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
