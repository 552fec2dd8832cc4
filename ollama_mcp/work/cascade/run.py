"""Running a cascade: measure the models on examples, find thresholds that keep the promise, then decide the rows."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from ollama_mcp.access.quoting import shortened
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.hosts.call_scope import mark_bulk
from ollama_mcp.work.batch.concurrency import batch_locks, run_lock
from ollama_mcp.work.batch.output import Observe, OutputWriter
from ollama_mcp.work.batch.pool import BatchProgress
from ollama_mcp.work.batch.run import BatchReport, count_rows, open_output, write_output
from ollama_mcp.work.batch.sources import open_source
from ollama_mcp.work.cascade.examples import EXPECTED, Examples
from ollama_mcp.work.cascade.merging import Decisions, left_over
from ollama_mcp.work.cascade.step import Answer, Step, answer_of
from ollama_mcp.work.cascade.thresholds import NEVER, Answers, Fitted, NotFitted, examples_needed, fit
from ollama_mcp.work.threads import run_in_thread

if TYPE_CHECKING:
    from ollama_mcp.access import Output
    from ollama_mcp.work.batch.pace import Pace
    from ollama_mcp.work.batch.rows import RowSource
    from ollama_mcp.work.batch.spec import BatchSpec
    from ollama_mcp.work.call_context import CallContext

MIN_MODELS, MAX_MODELS = 2, 4
MIN_ERROR, MAX_ERROR = 0.001, 0.5
# Of the fewest rows that would do if the models always agreed: so many times are compared.
_SAMPLE_FACTOR = 4
_SEED = 20_211_003


@dataclass(frozen=True, slots=True)
class CascadeSpec:
    """What a cascade is asked to do beside its batch.

    Args:
        models: The models, the smallest first.
        error: The share of wrong answers among the decided rows that is promised.
        examples: A table of labelled examples; "" for the last model's answers as labels.
    """

    models: Sequence[str]
    error: float
    examples: str = ""

    def validate(self, spec: BatchSpec) -> None:
        """Check that the arguments fit together.

        Raises:
            InvalidArgument: They do not.
        """
        if not spec.questions:
            raise InvalidArgument("cascade needs questions.", next_step="Give questions, as in ollama_decide.")
        if spec.model:
            raise InvalidArgument("model and cascade cannot be combined.", next_step="Leave model out.")
        if not MIN_MODELS <= len(self.models) <= MAX_MODELS:
            raise InvalidArgument(
                f"cascade names {len(self.models)}, but takes {MIN_MODELS} to {MAX_MODELS} models.",
                next_step="Name installed models, the smallest first.",
            )
        keys = [parse_name(name, argument="cascade").key for name in self.models]
        if len(set(keys)) < len(keys):
            raise InvalidArgument("cascade names a model twice.", next_step="Name each once, the smallest first.")
        if not MIN_ERROR <= self.error <= MAX_ERROR:
            raise InvalidArgument(
                f"error is {self.error:g}, but must be from {MIN_ERROR} to {MAX_ERROR}.",
                next_step="Give the share that may be wrong, such as 0.05.",
            )


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised about one question.

    Args:
        question: Its name.
        fitted: Its thresholds, and what they did to the examples that were held out.
        answers: What each model said of each example.
        confusion: How often, by the right answer and the one that counts, among the examples that are decided.
    """

    question: str
    fitted: Fitted
    answers: Sequence[Answers]
    confusion: Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class CascadeReport:
    """What a cascade came to.

    Args:
        models: The models, in order.
        asked: How many rows each was asked about.
        decided: How many rows each decided.
        undecided: Numbers of the rows that are left.
        undecided_path: The file of these rows, or "".
        error: What was promised.
        promises: One for each question.
        agreement: Whether the answers of the last model stood in for labels.
        paces: How many rows each model did when.
    """

    models: Sequence[str]
    asked: Sequence[int]
    decided: Sequence[int]
    undecided: Sequence[int]
    undecided_path: str
    error: float
    promises: Sequence[Promise]
    agreement: bool
    paces: Sequence[Pace]


async def run_cascade(
    call: CallContext, spec: BatchSpec, cascade: CascadeSpec, observe: Observe | None = None
) -> tuple[BatchReport, CascadeReport]:
    """Decide all rows of an input, each by the first model that is sure enough, and write the results.

    Each answer of each model is kept as soon as it is there, as those of a batch are: the same call resumes.

    Args:
        call: The context of the call.
        spec: The arguments of the batch.
        cascade: Those of the cascade.
        observe: Is given the result of each row as it is written.

    Raises:
        OllamaMCPError: Nothing was begun, the examples do not suffice, or what was done is kept; it says which.
    """
    spec.validate()
    cascade.validate(spec)
    mark_bulk()
    spec = replace(spec, cascade=tuple(cascade.models))
    async with AsyncExitStack() as stack:
        source = await open_source(call, spec.input, spec.chunk_chars)
        stack.push_async_callback(asyncio.to_thread, source.close)
        examples: Examples | None = None
        if cascade.examples:
            table = await open_source(call, [cascade.examples], None)
            stack.push_async_callback(asyncio.to_thread, table.close)
            examples = Examples(table, spec.questions)
        # Opened before the first row: an output that is refused at the end would cost all the work.
        output = await stack.enter_async_context(open_output(call, spec))
        undecided = await stack.enter_async_context(open_output(call, replace(spec, output=_undecided_name(spec))))
        run = _Cascade(call, spec, cascade, source, examples)
        await stack.enter_async_context(call.progress.phase(f"reading {source.label}"))
        return await run.run(output, undecided, observe)


def _undecided_name(spec: BatchSpec) -> str:
    return f"{os.path.splitext(spec.output)[0]}.undecided.csv" if spec.output else ""


class _Cascade:
    def __init__(
        self, call: CallContext, spec: BatchSpec, cascade: CascadeSpec, source: RowSource, examples: Examples | None
    ) -> None:
        self._call, self._spec, self._cascade = call, spec, cascade
        self._source, self._examples = source, examples

    async def run(
        self, output: Output | None, undecided: Output | None, observe: Observe | None
    ) -> tuple[BatchReport, CascadeReport]:
        """See `run_cascade`."""
        call, spec = self._call, self._spec
        total = await run_in_thread(partial(count_rows, self._source))
        spec.check_row_count(total)
        last = min(total, spec.limit or total)
        labels, notes = await self._labels()
        sample = self._sample(last) if labels is None else sorted(labels)
        steps = [await Step.prepare(call, spec, self._source, model, total) for model in spec.cascade]
        trials = steps
        if self._examples is not None:
            count = len(sample)
            trials = [await Step.prepare(call, spec, self._examples, model, count) for model in spec.cascade]
        progress = BatchProgress(last, 0)
        locks = [run_lock(step.key) for step in dict.fromkeys([*steps, *trials])]
        locks += [f"output {path.path}" for path in (output, undecided) if path is not None]
        async with batch_locks(locks, label=output.path if output is not None else self._source.label):
            promises = await self._measure(trials, sample, labels)
            thresholds = {promise.question: promise.fitted.thresholds for promise in promises}
            asked = await self._decide(steps, thresholds, last)
            decisions = Decisions(steps, thresholds, last)
            progress.done = last
            writer = OutputWriter(spec, self._source, decisions, last, observe)
            totals = await write_output(call, writer, output, progress)
            if undecided is not None:
                await run_in_thread(partial(self._write_undecided, undecided, sorted(decisions.undecided)))
            if last == total and not (totals.failed and call.store.batches.persistent):
                call.afterwards.extend(step.checkpoint.remove for step in dict.fromkeys([*steps, *trials]))
        notes += [note for step in dict.fromkeys([*trials, *steps]) for note in step.notes]
        notes += [*self._source.notes, *totals.notes]
        if last < total:
            notes.append(f"A trial: the first {last:,} of {total:,} rows. The same call without limit goes on.")
        report = BatchReport(
            ", ".join(step.model for step in steps),
            output.path if output is not None else "",
            total,
            progress,
            totals,
            list(dict.fromkeys(notes)),
        )
        path = undecided.path if undecided is not None else ""
        return report, CascadeReport(
            [step.model for step in steps],
            asked,
            decisions.decided,
            sorted(decisions.undecided),
            path,
            self._cascade.error,
            promises,
            labels is None,
            [step.pace for step in steps],
        )

    async def _labels(self) -> tuple[dict[int, dict[str, str]] | None, list[str]]:
        """The right answers of the examples; None where the last model's stand in for them.

        Raises:
            InvalidArgument: They are too few whatever the models answer; it says how many would do.
        """
        examples, questions = self._examples, self._spec.questions
        if examples is None:
            return None, []
        labels, notes = await run_in_thread(examples.labels)
        needed, held_out = examples_needed(self._cascade.error, len(questions))
        for question in questions:
            count = sum(question.name in own for own in labels.values())
            if count < needed:
                raise InvalidArgument(
                    f"{examples.label} has {count:,} labels of {shortened(question.name, 60)!r}; to promise an error "
                    f"of {self._cascade.error:g} takes at least {needed:,}: {held_out:,} that are held out, all "
                    "answered right, and a quarter to find thresholds.",
                    next_step=f"Label {needed - count:,} more, or allow a larger error.",
                )
        columns, given = set(examples.columns), set(self._source.columns)
        if self._source.is_table and columns != given:
            notes.append("The examples have other columns than the input: the promise is for rows like the examples.")
        return labels, notes

    def _sample(self, last: int) -> list[int]:
        """Numbers of the rows that the last model is asked about to compare with.

        Raises:
            InvalidArgument: There are too few rows.
        """
        needed, _ = examples_needed(self._cascade.error, len(self._spec.questions))
        if last < 2 * needed:
            raise InvalidArgument(
                f"Without examples {self._cascade.models[-1]} labels some of the rows; an error of "
                f"{self._cascade.error:g} takes at least {needed:,}, and there are only {last:,} in all.",
                next_step="Give examples, allow a larger error, or name the last model alone: these rows are few.",
            )
        return sorted(random.Random(_SEED).sample(range(1, last + 1), min(_SAMPLE_FACTOR * needed, last // 2)))

    async def _measure(
        self, trials: Sequence[Step], sample: Sequence[int], labels: dict[int, dict[str, str]] | None
    ) -> list[Promise]:
        """Ask all models about the examples, and find thresholds.

        Raises:
            InvalidArgument: None keep the promise; it says how many examples probably would.
        """
        names = [question.name for question in self._spec.questions]
        said: list[dict[int, dict[str, Answer]]] = [{number: {} for number in sample} for _ in trials]
        # The first one last: it is loaded already when it is asked about all rows.
        for place in reversed(range(len(trials))):
            await self._call.progress.say(f"{trials[place].model}: {len(sample):,} examples")
            await trials[place].ask(sample)
            async for number, record in trials[place].records():
                # In the input's own checkpoint there may be more rows.
                if number in said[place]:
                    said[place][number] = {name: answer_of(record, name) for name in names}
        if labels is None:
            labels = {number: {name: answer.answer for name, answer in own.items()} for number, own in said[-1].items()}
        costs = await self._costs(trials)
        promises: list[Promise] = []
        for name in names:
            known = [number for number in sample if labels.get(number, {}).get(name)]
            answers = [[own[number].get(name, Answer()) for own in said] for number in known]
            examples = [
                [(answer.confidence, answer.answer == labels[number][name]) for answer in given]
                for number, given in zip(known, answers, strict=True)
            ]
            find = partial(fit, examples, costs, self._cascade.error, len(names))
            fitted = await asyncio.to_thread(find)
            if isinstance(fitted, NotFitted):
                raise self._not_fitted(name, len(known), fitted)
            right = [labels[number][name] for number in known]
            promises.append(Promise(name, fitted, examples, _confusion(right, answers, fitted.thresholds)))
        return promises

    def _not_fitted(self, name: str, count: int, fitted: NotFitted) -> InvalidArgument:
        error = self._cascade.error
        next_step = f"Allow an error above {fitted.rate:.2g}, or name a better last model."
        if fitted.needed is not None and fitted.needed > count:
            next_step = f"About {fitted.needed:,} examples would probably do; or allow a larger error."
        return InvalidArgument(
            f"{count:,} examples of {shortened(name, 60)!r} do not show that at most {error:g} would be wrong: no "
            "thresholds pass on those held out. The rows were not begun.",
            next_step=next_step,
        )

    async def _costs(self, steps: Sequence[Step]) -> list[float]:
        """What a request to each model costs, by the bytes that it has to read; the last one's is 1."""
        sizes: list[int] = []
        for step in steps:
            found = None if parse_name(step.model).is_cloud else await self._call.hosts.find_model(step.model)
            sizes.append(found.size if found is not None else 0)
        if not all(sizes):
            return [(place + 1) / len(steps) for place in range(len(steps))]
        return [size / sizes[-1] for size in sizes]

    async def _decide(self, steps: Sequence[Step], thresholds: dict[str, tuple[float, ...]], last: int) -> list[int]:
        """Ask the models about the rows that are left to them; returns how many those are for each."""
        waiting = dict.fromkeys(range(1, last + 1), frozenset(thresholds))
        asked: list[int] = []
        for place, step in enumerate(steps):
            useful = any(own[place] < NEVER for own in thresholds.values())
            rows = waiting if useful else {}
            await self._call.progress.say(f"{step.model}: {len(rows):,} rows")
            await step.ask(rows)
            asked.append(len(rows))
            if useful:
                waiting = await left_over(step, place, thresholds, waiting)
        return asked

    def _write_undecided(self, output: Output, numbers: Sequence[int], cancelled: Event) -> None:
        output.write(self._undecided_rows(set(numbers), cancelled))

    def _undecided_rows(self, numbers: set[int], cancelled: Event) -> Iterator[bytes]:
        """The rows as a table with the columns that labels go to: once filled in, they are examples."""
        names = [question.name for question in self._spec.questions]
        labels = [EXPECTED] if len(names) == 1 else [f"{EXPECTED}.{name}" for name in names]
        columns = [column for column in self._source.columns if column not in labels]
        yield _csv_line([*columns, *labels])
        for row in self._source.rows():
            if row.number in numbers and not cancelled.is_set():
                yield _csv_line([*(row.columns.get(column) for column in columns), *("" for _ in labels)])


def _confusion(
    right: Sequence[str], answers: Sequence[Sequence[Answer]], thresholds: Sequence[float]
) -> Counter[tuple[str, str]]:
    counts = Counter[tuple[str, str]]()
    for expected, given in zip(right, answers, strict=True):
        sure = (
            answer.answer for answer, threshold in zip(given, thresholds, strict=True) if answer.confidence >= threshold
        )
        if (decided := next(sure, None)) is not None:
            counts[expected, decided] += 1
    return counts


def _csv_line(cells: Sequence[object]) -> bytes:
    from ollama_mcp.formats.json_text import json_line

    stream = io.StringIO(newline="")
    texts = ["" if cell is None else cell if isinstance(cell, str) else json_line(cell) for cell in cells]
    csv.writer(stream, lineterminator="\r\n").writerow(texts)
    return stream.getvalue().encode(errors="replace")
