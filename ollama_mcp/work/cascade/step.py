"""One model of a cascade: its checkpoints, and its work on the rows that are left to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from ollama_mcp.work.batch.pace import Pace
from ollama_mcp.work.batch.pool import BatchProgress
from ollama_mcp.work.batch.rows import Record
from ollama_mcp.work.batch.run import model_digest, note_upgrade, prepare_processor, process_rows
from ollama_mcp.work.batch.unfinished import description
from ollama_mcp.work.cascade.examples import SomeRows
from ollama_mcp.work.cascade.thresholds import FAILED, NO_CONFIDENCE
from ollama_mcp.work.model_watch import ModelWatch

if TYPE_CHECKING:
    from ollama_mcp.store import BatchRun
    from ollama_mcp.work.batch.processors import RowProcessor
    from ollama_mcp.work.batch.rows import RowSource
    from ollama_mcp.work.batch.spec import BatchSpec
    from ollama_mcp.work.call_context import CallContext

_REPLACED = "The same call begins anew with the current model; what the other models answered is kept."


class StepProgress(BatchProgress):
    """The progress of one model; the message names it."""

    def __init__(self, model: str, total: int, done_before: int, last: int) -> None:
        super().__init__(total, done_before, last)
        self._model = model

    def __str__(self) -> str:
        """How far it is: "llama3.2:3b: 412 of 2,000, 8.1/s, 3 min left"."""
        return f"{self._model}: {super().__str__()}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said about a question of a row.

    Args:
        confidence: How sure it was; `NO_CONFIDENCE` where it gives none, `FAILED` where the row failed.
        answer: The answer.
    """

    confidence: float = FAILED
    answer: str = ""


def verdicts_of(record: Record) -> dict[str, dict[str, Any]]:
    """The verdicts of a record by the names of the questions; none where the row failed."""
    return {} if record.kind else cast("dict[str, dict[str, Any]]", record.output or {})


def answer_of(record: Record, question: str) -> Answer:
    """What a record holds of an answer."""
    verdict = verdicts_of(record).get(question)
    if verdict is None:
        return Answer()
    confidence = verdict.get("confidence")
    return Answer(NO_CONFIDENCE if confidence is None else confidence, verdict["answer"])


class Step:
    """A model and the rows of one source: those of the input, or the examples.

    Args:
        call: The context of the call.
        spec: The arguments of the batch, with the model of this step.
        source: All rows.
        processor: Asks the model.
        total: How many rows the source has.
        digest: The digest of the model.

    Attributes:
        model: The model.
        key: The key of its checkpoint: the same as that of an ordinary batch.
        notes: What should be known about its answers.
        pace: How many rows were done when, the last time that it was asked.
    """

    def __init__(
        self,
        call: CallContext,
        spec: BatchSpec,
        source: RowSource,
        processor: RowProcessor,
        total: int,
        digest: str,
    ) -> None:
        self._call, self._spec, self._source, self._processor = call, spec, source, processor
        self._digest, self._total = digest, total
        self.model = processor.model
        self.key = spec.checkpoint_key(source, self.model, digest)
        self._task = spec.checkpoint_key(source, self.model, "")
        self._checkpoint: BatchRun | None = None
        self._notes: list[str] = []
        self.pace = Pace()

    @classmethod
    async def prepare(cls, call: CallContext, spec: BatchSpec, source: RowSource, model: str, total: int) -> Step:
        """Check that a model may and can do the work, before anything is asked."""
        spec = replace(spec, model=model, cascade=())
        processor = await prepare_processor(call, spec, source, total)
        digest = await model_digest(call, processor.model)
        # Reads the store's observations of models now, so that no row has to wait for them.
        await call.store.models.token_ratio(digest)
        return cls(call, spec, source, processor, total, digest)

    @property
    def notes(self) -> list[str]:
        """What should be known about its answers."""
        return [*self._notes, *self._processor.notes]

    @property
    def checkpoint(self) -> BatchRun:
        """Its kept rows; open since `ask`."""
        assert self._checkpoint is not None
        return self._checkpoint

    async def ask(self, numbers: Collection[int]) -> None:
        """Ask the model about some rows; those that are kept from an earlier call are not asked again.

        Raises:
            OllamaMCPError: The host, the model or the disk fails; what was done is kept.
        """
        call = self._call
        if self._checkpoint is None:
            self._notes += await note_upgrade(call, self.key, self._task, self.model, self._digest)
            about = {"model": self.model, "input": self._source.label, "task": self._task, "digest": self._digest}
            metadata = about | description(self._spec)
            self._checkpoint = await call.batches.open(self.key, total=self._total, metadata=metadata)
        if not numbers:
            return
        source, last = SomeRows(self._source, numbers), max(numbers)
        missing = set(await self._checkpoint.missing(min(numbers), last)) & set(numbers)
        progress = StepProgress(self.model, len(numbers), len(numbers) - len(missing), last)
        self.pace = progress.pace
        watch = ModelWatch(call, self.model, self._digest, _REPLACED)
        with call.in_use.track(self.model) as earlier:
            stop_waiting = call.report_waiting(self.model, earlier)
            try:
                self._notes += await process_rows(
                    call, self._processor, source, self._checkpoint, progress, watch, self._digest
                )
            finally:
                stop_waiting()

    async def records(self) -> AsyncGenerator[tuple[int, Record]]:
        """The rows that are kept, and what they came to."""
        async with aclosing(self.checkpoint.records()) as records:
            async for result in records:
                yield result.row, Record.decode(result.record)
