"""Asking one model about rows, a block at a time: each row is kept as it is done, and found again by the same call."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ollama_mcp.work.batch.pool import BatchProgress, RowQueue, WorkerPool
from ollama_mcp.work.batch.rows import InputRow, Record, RowSource
from ollama_mcp.work.model_watch import ModelReplaced, ModelWatch
from ollama_mcp.work.parallel import parallel_requests

if TYPE_CHECKING:
    from ollama_mcp.store import BatchRun
    from ollama_mcp.work.batch.processors import RowOutcome, RowProcessor
    from ollama_mcp.work.call_context import CallContext

# Failures that are the model's: it wrote nothing that could be used, or could not read the row. Others say nothing of
# it, so that their rows do not count, and the same call asks for them again.
_OF_THE_MODEL = frozenset(("bad_answer", "no_answer", "too_long"))
_REPLACED = "The same call asks it again from the beginning."


def counts(record: Record) -> bool:
    """Whether a row says something of the model."""
    return not record.kind or record.kind in _OF_THE_MODEL


@dataclass(slots=True)
class Pace:
    """What asking took.

    Attributes:
        rows: Rows that this call asked for, without those that loaded the model.
        seconds: How long these took.
        load_seconds: How long the model took to load when it first had to; None where it was loaded.
        prompt_tokens: Tokens that were read.
        tokens: Tokens that were written.
    """

    rows: int = 0
    seconds: float = 0.0
    load_seconds: float | None = None
    prompt_tokens: int = 0
    tokens: int = 0

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds if self.seconds else 0.0


class Asking:
    """The rows of a source under one model.

    Args:
        call: The context of the call.
        processor: Works on a row.
        source: The rows.
        run: The checkpoint; one caller at a time.
        watch: Sees whether the model is still the same.
        progress: Counts rows.

    Attributes:
        records: What each row came to, earlier calls included.
        pace: What it took.
    """

    rows_per_request = 1

    def __init__(
        self,
        call: CallContext,
        processor: RowProcessor,
        source: RowSource,
        run: BatchRun,
        watch: ModelWatch,
        progress: BatchProgress,
    ) -> None:
        self.model, self.run, self.progress = processor.model, run, progress
        self.records: dict[int, Record] = {}
        self.pace = Pace()
        self._call, self._processor, self._source, self._watch = call, processor, source, watch

    @property
    def notes(self) -> list[str]:
        """What should be known about the answers."""
        return self._processor.notes

    async def find_kept(self) -> None:
        """Read what an earlier call kept; rows whose failures say nothing of the model are asked again.

        Raises:
            DiskError: The store cannot be used.
        """
        async for result in self.run.records():
            self.records[result.row] = Record.decode(result.record)
        if again := [number for number, record in self.records.items() if not counts(record)]:
            await self.run.discard(again)
            for number in again:
                del self.records[number]
        self.progress.done_before = len(self.records)

    async def load(self, numbers: Iterable[int]) -> None:
        """Ask for the first of some rows that is not done, alone, where the model has to be loaded for it.

        Raises:
            OllamaMCPError: As `ask`.
        """
        left = min((number for number in numbers if number not in self.records), default=None)
        if left is None or await self._call.hosts.loaded_models.is_loaded_now(self.model):
            return
        began = time.monotonic()
        await self._pass({left}, is_retry=False)
        if self.pace.load_seconds is None:
            self.pace.load_seconds = time.monotonic() - began

    async def ask(self, numbers: Iterable[int]) -> None:
        """Ask for those of some rows that are not done.

        Raises:
            OllamaMCPError: The host, the model or the disk fails; what was done is kept.
        """
        if left := {number for number in numbers if number not in self.records}:
            began = time.monotonic()
            await self._pass(left, is_retry=False)
            self.pace.rows += len(left)
            self.pace.seconds += time.monotonic() - began

    async def finish_block(self) -> None:
        """Ask once more for rows whose failures say nothing of the model, and see that it is still the same.

        Raises:
            ModelReplaced: Another model has the name; the answers that may be either's are no longer kept.
            OllamaMCPError: As `ask`.
        """
        again = {number for number, record in self.records.items() if not counts(record)}
        if again := again - self.progress.permanent_failures:
            await self._pass(again, is_retry=True)
        try:
            if self.progress.unverified and await self._watch.check():
                self.progress.unverified.clear()
        except ModelReplaced:
            await self._forget_unverified()
            raise

    async def process(self, rows: Sequence[InputRow]) -> list[RowOutcome]:
        """See `RowProcessor`; takes note of what the rows came to."""
        outcomes = await self._processor.process(rows)
        for outcome in outcomes:
            self.records[outcome.row.number] = Record.decode(outcome.data)
            self.pace.prompt_tokens += outcome.tokens[0]
            self.pace.tokens += outcome.tokens[1]
        return outcomes

    async def _pass(self, numbers: set[int], *, is_retry: bool) -> None:
        rows = islice(self._source.rows(), min(numbers) - 1, None)
        queue = RowQueue(rows, self.run, max(numbers), 1, only=numbers)
        parallel = await parallel_requests(self._call, self.model)
        pool = WorkerPool(
            self._call, self, self.run, self.progress, self._watch, min(parallel, len(numbers)), is_retry=is_retry
        )
        try:
            await pool.run(queue)
        except ModelReplaced:
            await self._forget_unverified()
            raise

    async def _forget_unverified(self) -> None:
        """Nobody knows which of two models answered these."""
        await self.run.discard(self.progress.unverified)
        for number in self.progress.unverified:
            self.records.pop(number, None)


def begin_watch(call: CallContext, model: str, digest: str) -> ModelWatch:
    """Watch a model from the digest on that the evaluation began with."""
    return ModelWatch(call, model, digest, _REPLACED)
