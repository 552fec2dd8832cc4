"""Running an evaluation: which models reach the goal on the examples, with as few calls as tell it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ollama_mcp.errors import (
    Busy,
    DiskError,
    InternalError,
    ModelNotFound,
    OllamaMCPError,
    ServerError,
    Unauthorized,
    Unreachable,
)
from ollama_mcp.formats.json_schema import check_schema
from ollama_mcp.hosts.call_scope import mark_bulk
from ollama_mcp.work.batch.concurrency import batch_locks, run_lock
from ollama_mcp.work.decide.questions import check_questions
from ollama_mcp.work.evaluate.asking import counts
from ollama_mcp.work.evaluate.contender import Contender, check_template, checkpoint_key, entrants, make_contender
from ollama_mcp.work.evaluate.examples import check_expected, leave_out_copied, read_examples
from ollama_mcp.work.evaluate.judge import Judge
from ollama_mcp.work.evaluate.metrics import Judged, parse_metric
from ollama_mcp.work.evaluate.race import STEP, Race
from ollama_mcp.work.evaluate.report import make_report
from ollama_mcp.work.profiles import find_profile, owner

if TYPE_CHECKING:
    from ollama_mcp.api import ModelSummary
    from ollama_mcp.work.batch.rows import Record
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.evaluate.examples import Examples
    from ollama_mcp.work.evaluate.metrics import Metric
    from ollama_mcp.work.evaluate.report import Evaluation
    from ollama_mcp.work.evaluate.spec import EvaluationSpec

# Rows in one step that all fail, after which a model is asked no further.
_FAILURES = STEP // 2
# Errors that every model would meet: the evaluation stops, and the same call goes on.
_OF_THE_HOST = (Unreachable, Busy, DiskError, InternalError, Unauthorized)


async def evaluate(call: CallContext, spec: EvaluationSpec) -> Evaluation:
    """Ask models about examples until it is clear which of them reach the goal.

    Each answer is kept as soon as it is there; after an interruption the same call goes on where it stopped.

    Args:
        call: The context of the call.
        spec: What is evaluated.

    Raises:
        OllamaMCPError: Nothing was begun, or what was done is kept; the message says which.
    """
    if spec.profile and (kept := await call.store.profiles.find(owner(), spec.profile)) is not None:
        spec = spec.filled(kept.task)
    spec = await _without_profiles(call, spec)
    spec.validate()
    check_template(spec)
    if spec.questions:
        check_questions(spec.questions, call.settings.limits.questions)
    mark_bulk()
    async with call.progress.phase("reading the examples"):
        examples = await read_examples(call, spec.examples)
        metric = await asyncio.to_thread(_check_examples, spec, examples)
        models, notes = await entrants(call, spec)
        keys = [checkpoint_key(spec, examples, model.name, model.digest) for model in models]
        async with batch_locks([run_lock(key) for key in keys], label=examples.label):
            report = await _Run(call, spec, examples, metric).run(models, notes)
    return report


async def _without_profiles(call: CallContext, spec: EvaluationSpec) -> EvaluationSpec:
    """The same with the models of profiles in place of their names, and the task of the first where none is given.

    Raises:
        InvalidArgument: There is no such profile.
    """
    models: list[str] = []
    for name in spec.models:
        found = await find_profile(call, name)
        models.append(name if found is None else found.model)
        spec = spec if found is None else spec.filled(found.task)
    return replace(spec, models=models)


def _check_examples(spec: EvaluationSpec, examples: Examples) -> Metric:
    """Leave out examples that would tell too much, put the others into their order, and return how they are compared.

    Raises:
        InvalidArgument: They cannot be compared.
    """
    leave_out_copied(examples, spec.prompt, spec.system, *(question.question for question in spec.questions))
    expected = [example.expected for example in examples.examples]
    has_fields = isinstance(spec.format, dict) and check_schema(spec.format).get("type") == "object"
    metric = parse_metric(spec.metric, expected, spec.questions, fields=has_fields or spec.format == "json")
    check_expected(examples, metric)
    examples.shuffle()
    return metric


class _Run:
    """An evaluation at work.

    Args:
        call: The context of the call.
        spec: What is evaluated.
        examples: The examples, in their order.
        metric: How answers are compared.
    """

    def __init__(self, call: CallContext, spec: EvaluationSpec, examples: Examples, metric: Metric) -> None:
        self._call, self._spec, self._examples, self._metric = call, spec, examples, metric
        self._judge: Judge | None = None
        self._contenders: list[Contender] = []

    async def run(self, models: list[ModelSummary], notes: list[str]) -> Evaluation:
        """Ask the models, and say what they came to."""
        if isinstance(self._metric, Judged):
            self._judge = await Judge.prepare(self._call, self._metric, self._spec.judge, self._examples)
        race = await self._prepare(models, notes)
        try:
            if self._judge is not None:
                await self._judge.try_out()
            while chosen := race.round():
                await self._round(race, {id(standing): end for standing, end in chosen})
        except OllamaMCPError as error:
            raise self._stopped(error) from error.__cause__
        return await self._finish(notes)

    async def _prepare(self, models: list[ModelSummary], notes: list[str]) -> Race:
        """Prepare each model; one that was not named and cannot do it is left out.

        Raises:
            OllamaMCPError: One that was named cannot, or none can.
        """
        race = Race([model.name for model in models], len(self._examples.examples), self._spec.target)
        rows: Counter[str] = Counter({model.name: 0 for model in models})
        failure: OllamaMCPError | None = None
        for model, standing in zip(models, race.standings, strict=True):
            try:
                contender = await make_contender(self._call, self._spec, self._examples, model, standing, rows)
            except OllamaMCPError as error:
                if self._spec.models or isinstance(error, _OF_THE_HOST):
                    raise
                notes.append(f"{model.name} is left out: {error.message}")
                failure = error
                continue
            self._contenders.append(contender)
        race.standings = [contender.standing for contender in self._contenders]
        if not race.standings:
            raise failure or ModelNotFound("No installed model can do this.")
        return race

    async def _round(self, race: Race, ends: dict[int, int]) -> None:
        """Ask each model its block, then judge the answers, so that the judge too is loaded once a round."""
        asked: list[Contender] = []
        for contender in self._contenders:
            end = ends.get(id(contender.standing), 0)
            if not end or not race.is_wanted(contender.standing):
                continue
            asked.append(contender)
            try:
                await self._block(race, contender, end)
            except _OF_THE_HOST:
                raise
            except OllamaMCPError as error:
                self._fail(race, contender, error)
        if self._judge is not None:
            for contender in asked:
                if contender.error is None:
                    await self._judge.judge(contender, ends[id(contender.standing)])
                    self._update(race, contender, ends[id(contender.standing)])

    async def _block(self, race: Race, contender: Contender, end: int) -> None:
        standing, asking = contender.standing, contender.asking
        with self._call.in_use.track(contender.name):
            await asking.load(range(standing.taken + 1, end + 1))
            # With a judge nobody knows before the end of the block how a model does.
            step = STEP if self._judge is None else end
            last = standing.taken
            while last < end:
                first, last = last + 1, min(end, last + step)
                await asking.ask(range(first, last + 1))
                self._check_step(
                    [asking.records[number] for number in range(first, last + 1) if number in asking.records]
                )
                if self._judge is None and not self._update(race, contender, last):
                    break
            await asking.finish_block()
        if asking.pace.rows or asking.pace.load_seconds is not None:
            await contender.note_memory(self._call)
        # Rows that failed first and succeeded then count as well.
        if self._judge is None:
            self._update(race, contender, last)

    def _check_step(self, records: Sequence[Record]) -> None:
        """Stop asking a model of which one row after another fails for reasons that say nothing of it.

        Raises:
            ServerError: It names the first failure.
        """
        if len(records) >= _FAILURES and not any(map(counts, records)):
            raise ServerError(f"None of {len(records):,} answers in a row could be used: {records[0].message}")

    def _update(self, race: Race, contender: Contender, last: int) -> bool:
        contender.score(self._examples, self._metric, last)
        return race.update(contender.standing, right=contender.right(last), seen=contender.seen(last), taken=last)

    def _fail(self, race: Race, contender: Contender, error: OllamaMCPError) -> None:
        contender.error = error
        race.fail(contender.standing)
        if all(one.error is not None for one in self._contenders):
            raise error

    async def _finish(self, notes: list[str]) -> Evaluation:
        report = make_report(self._contenders, self._examples, self._metric, self._spec.target)
        report.notes += notes
        if self._judge is not None:
            report.judge = (self._judge.model, self._judge.agreed, self._judge.tried)
            report.notes += self._judge.notes
        await self._keep_profile(report)
        # What a failure left can be asked for by the same call, without the rest.
        is_whole = all(contender.error is None for contender in self._contenders)
        if is_whole or not self._call.store.batches.persistent:
            runs = [contender.asking.run for contender in self._contenders]
            runs += [asking.run for asking, _ in self._judge.asked.values()] if self._judge is not None else []
            self._call.afterwards.extend(run.remove for run in runs)
        return report

    async def _keep_profile(self, report: Evaluation) -> None:
        name, spec = self._spec.profile, self._spec
        if not name:
            return
        chosen = next((one for one in self._contenders if one.name == report.chosen), None)
        if chosen is None:
            report.notes.append(f"No profile {name!r} was kept: no model is shown to reach the goal.")
            return
        from ollama_mcp.store.profiles import Profile

        profile = Profile(chosen.name, chosen.digest, spec.prompt_hash, spec.task, report.verdict)
        await self._call.store.profiles.keep(owner(), name, profile)
        report.profile = name
        if not self._call.store.batches.persistent:
            report.notes.append("The profile ends with this server: its store is in memory (store.path).")

    def _stopped(self, error: OllamaMCPError) -> OllamaMCPError:
        """The error, with how much is done and that the same call goes on."""
        done = sum(len(contender.asking.records) for contender in self._contenders)
        error.message = f"Stopped with {done:,} answers, which are kept: {error.message}"
        error.next_step = f"{error.next_step} The same call resumes from there.".lstrip()
        error.args = (error.message,)
        return error
