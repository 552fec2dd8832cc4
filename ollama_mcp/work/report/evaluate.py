"""The report of an evaluation: accuracy against speed, what is confused, and the models' figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from ollama_mcp.work.report import charts
from ollama_mcp.work.report.page import Page, Section, made_now

_MAX_LABELS = 40
_GIGABYTE = 1e9


class EvaluatedModel(Protocol):
    """What the page shows of a model."""

    @property
    def model(self) -> str: ...
    @property
    def accuracy(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def seen(self) -> int: ...
    @property
    def rows_per_second(self) -> float | None: ...
    @property
    def load_seconds(self) -> float | None: ...
    @property
    def memory_bytes(self) -> int | None: ...
    @property
    def gpu_share(self) -> float | None: ...
    @property
    def errors(self) -> Mapping[str, tuple[int, str]]: ...


def evaluation_page(
    verdict: str,
    models: Sequence[EvaluatedModel],
    *,
    goal: float,
    about: str = "",
    confusion: Sequence[tuple[str, str, int]] = (),
    fields: Mapping[str, tuple[int, int]] | None = None,
    notes: Sequence[str] = (),
) -> Page:
    """The page of an evaluation.

    Args:
        verdict: It in one or two sentences.
        models: The models, in the order in which they are shown.
        goal: The accuracy that is wanted.
        about: The model that confusion and fields are about.
        confusion: What was expected, what was answered, and how often.
        fields: Of each field, how often it was right, of how many.
        notes: What should be known.
    """
    points = [
        charts.Point(one.model, one.rows_per_second or 0.0, one.accuracy, one.low, one.high)
        for one in models
        if one.seen
    ]
    found = [("Accuracy against speed", charts.scatter(points, x="rows/s", y="accuracy", goal=goal))] if points else []
    columns = ("model", "accuracy", "from", "to", "examples", "rows/s", "load s", "GB", "on GPU")
    sections = [Section("Models", found, columns=columns, rows=[_row(one) for one in models])]
    if confusion:
        counts = Counter[tuple[str, str]]()
        for expected, answered, times in confusion:
            counts[expected, answered] += times
        labels = list(dict.fromkeys(label for pair in sorted(counts) for label in pair))
        if len(labels) <= _MAX_LABELS:
            chart = ("Expected (down) and answered (across)", charts.confusion(labels, counts))
            sections.append(Section(f"What {about} confuses", [chart]))
    if fields:
        shares = {name: 100 * right / of for name, (right, of) in fields.items() if of}
        chart = ("Right answers by field", charts.bars(shares, unit=" %", digits=1))
        sections.append(Section(f"Fields of {about}", [chart]))
    kinds = Counter[str]()
    for one in models:
        for kind, (count, _) in one.errors.items():
            kinds[kind] += count
    if kinds:
        sections.append(Section("Errors", [("Examples that failed, by kind of error", charts.bars(dict(kinds)))]))
    return Page("Evaluation of models", verdict, {"models": f"{len(models):,}"}, sections, notes, made_now())


def _row(one: EvaluatedModel) -> Sequence[object]:
    accuracy = (f"{one.accuracy:.1%}", f"{one.low:.1%}", f"{one.high:.1%}") if one.seen else (None, None, None)
    memory = None if one.memory_bytes is None else one.memory_bytes / _GIGABYTE
    share = None if one.gpu_share is None else f"{one.gpu_share:.0%}"
    return (one.model, *accuracy, one.seen, one.rows_per_second, one.load_seconds, memory, share)
