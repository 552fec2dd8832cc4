"""What a cascade decides: of each row and question the answer of the first model that is sure enough."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import InternalError
from ollama_mcp.store.batches import RowResult
from ollama_mcp.work.batch.rows import Record
from ollama_mcp.work.cascade.step import answer_of, verdicts_of

if TYPE_CHECKING:
    from ollama_mcp.work.cascade.step import Step

# For each question the threshold of each model.
Thresholds = Mapping[str, Sequence[float]]


def open_questions(record: Record, place: int, thresholds: Thresholds, waiting: frozenset[str]) -> frozenset[str]:
    """The questions of a row that a model is not sure enough about."""
    return frozenset(name for name in waiting if answer_of(record, name).confidence < thresholds[name][place])


class Decisions:
    """The rows of all steps as those of one batch, and counts of who decided them.

    Args:
        steps: The models' steps over the input, in order.
        thresholds: Their thresholds.
        last: Number of the last row.

    Attributes:
        decided: How many rows each model decides, by its place; complete once all records were read.
        undecided: The questions that nobody decides, by row.
    """

    def __init__(self, steps: Sequence[Step], thresholds: Thresholds, last: int) -> None:
        self._steps, self._thresholds, self._last = steps, thresholds, last
        self.decided = [0] * len(steps)
        self.undecided: dict[int, list[str]] = {}

    async def records(self) -> AsyncGenerator[RowResult]:
        """One result for each row, in order."""
        async with AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(aclosing(step.records())) for step in self._steps]
            heads = [await anext(stream, None) for stream in streams]
            for number in range(1, self._last + 1):
                found: list[Record | None] = []
                for place, stream in enumerate(streams):
                    head = heads[place]
                    found.append(head[1] if head is not None and head[0] == number else None)
                    if head is not None and head[0] <= number:
                        heads[place] = await anext(stream, None)
                record = self._merged(number, found)
                yield RowResult(number, record.encode(), bool(record.kind))

    def _merged(self, number: int, found: Sequence[Record | None]) -> Record:
        answered = [record for record in found if record is not None and not record.kind]
        failed = next((record for record in reversed(found) if record is not None and record.kind), None)
        if not answered:
            return failed or Record(kind=InternalError.kind, message="No model was asked.")
        verdicts: dict[str, Any] = {}
        places: list[int] = []
        for name, thresholds in self._thresholds.items():
            place = next(
                (
                    place
                    for place, record in enumerate(found)
                    if record is not None and answer_of(record, name).confidence >= thresholds[place]
                ),
                None,
            )
            if place is None and failed is not None:
                # Not undecided: asked once more, a model may decide it.
                self.undecided.pop(number, None)
                return failed
            if place is None:
                # What the last one thinks, for a person who decides.
                verdict = dict(verdicts_of(answered[-1]).get(name, {}))
                verdicts[name] = {"answer": None, "guess": verdict.pop("answer", None)} | verdict
                self.undecided.setdefault(number, []).append(name)
                continue
            record = found[place]
            assert record is not None
            places.append(place)
            verdicts[name] = {**verdicts_of(record)[name], "model": self._steps[place].model}
        if number not in self.undecided:
            self.decided[max(places)] += 1
        return Record(verdicts)


async def left_over(
    step: Step, place: int, thresholds: Thresholds, waiting: Mapping[int, frozenset[str]]
) -> dict[int, frozenset[str]]:
    """The rows, of those that a model was asked about, that go on to the next one, and their open questions."""
    left: dict[int, frozenset[str]] = {}
    async with aclosing(step.records()) as records:
        async for number, record in records:
            if number in waiting and (names := open_questions(record, place, thresholds, waiting[number])):
                left[number] = names
    return left
