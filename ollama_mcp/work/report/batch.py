"""The report of a batch: answers and how sure they are, who decided, speed and errors."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from ollama_mcp.formats.durations import format_seconds
from ollama_mcp.formats.json_text import json_line
from ollama_mcp.work.report import charts
from ollama_mcp.work.report.page import Page, Section, made_now

if TYPE_CHECKING:
    from ollama_mcp.work.batch import BatchReport, BatchSpec
    from ollama_mcp.work.batch.pace import Pace
    from ollama_mcp.work.batch.rows import Record
    from ollama_mcp.work.cascade.run import CascadeReport, Promise

BINS = 20
# Answers of more kinds than this, or longer ones, are no labels: counting them would show nothing.
_MAX_LABELS, _MAX_LABEL_CHARS = 40, 60
_SHOWN_LABELS = 15
_SHOWN_CHARS = 600
# Of a shorter time a line would show chance.
_LEAST_INTERVALS = 3
_UNDECIDED = "(undecided)"


class Answers:
    """Counts the answers of rows as they are written: labels, and how sure the model was."""

    def __init__(self) -> None:
        self.labels: dict[str, Counter[str]] = {}
        self.confidences: dict[str, list[int]] = {}
        self._unlabelled: set[str] = set()
        # Rows are written in a thread.
        self._lock = threading.Lock()

    def add(self, record: Record) -> None:
        """Count a row."""
        if record.kind:
            return
        output: Any = record.output
        members = cast("dict[str, Any]", output) if isinstance(output, dict) else {"": output}
        with self._lock:
            for name, value in members.items():
                verdict = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
                self._count(name, verdict.get("answer") or _UNDECIDED if "answer" in verdict else value)
                confidence = verdict.get("confidence")
                if isinstance(confidence, float | int):
                    bins = self.confidences.setdefault(name, [0] * BINS)
                    bins[min(int(confidence * BINS), BINS - 1)] += 1

    def _count(self, name: str, value: Any) -> None:
        label = value if isinstance(value, str) else json_line(value)
        counts = self.labels.setdefault(name, Counter())
        if name in self._unlabelled:
            return
        if len(label) > _MAX_LABEL_CHARS or (label not in counts and len(counts) == _MAX_LABELS):
            self._unlabelled.add(name)
            counts.clear()
            return
        counts[label] += 1


def batch_page(spec: BatchSpec, report: BatchReport, answers: Answers, cascade: CascadeReport | None) -> Page:
    """The page of a batch.

    Args:
        spec: What was asked for.
        report: What it came to.
        answers: The counted answers.
        cascade: Who decided, where several models did.
    """
    totals, progress = report.totals, report.progress
    done = totals.rows - totals.failed
    lead = f"{done:,} of {report.total:,} rows done by {report.model}."
    sections = [_answers(answers, cascade)]
    if cascade is not None:
        lead = " ".join([lead, *(promise_line(promise, cascade) for promise in cascade.promises)])
        sections.append(_cascade(cascade, report.totals.rows))
        sections += [_measured(promise, cascade) for promise in cascade.promises]
    paces = {report.model: progress.pace} if cascade is None else dict(zip(cascade.models, cascade.paces, strict=True))
    sections += [_speed(paces), _errors(totals.kinds), _samples(totals.samples), _task(spec)]
    figures = {
        "rows done": f"{done:,}",
        "failed": f"{totals.failed:,}",
        "left to you": f"{len(cascade.undecided):,}" if cascade is not None else "",
        "rows a second": f"{progress.rate:.3g}",
        "time": format_seconds(progress.seconds),
        "tokens read": f"{progress.prompt_tokens:,}" if progress.prompt_tokens else "",
        "tokens written": f"{progress.tokens:,}" if progress.tokens else "",
    }
    title = f"Batch of {report.totals.rows:,} rows"
    shown = [section for section in sections if section is not None]
    return Page(title, lead, figures, shown, report.notes, made_now())


def promise_line(promise: Promise, cascade: CascadeReport) -> str:
    """A promise in one sentence."""
    seen = promise.fitted.held_out
    wrong = f"unlike {cascade.models[-1]}" if cascade.agreement else "wrong"
    return (
        f"{promise.question}: at most {100 * cascade.error:g} % of the decided are {wrong}, with 95 % confidence; of "
        f"{seen.answers:,} that were held out {seen.rate:.2%} were."
    )


def _answers(answers: Answers, cascade: CascadeReport | None) -> Section | None:
    found: list[tuple[str, charts.Markup]] = []
    for name, counts in answers.labels.items():
        about = f" to {name!r}" if name else ""
        if shown := dict(counts.most_common(_SHOWN_LABELS)):
            more = f", the {_SHOWN_LABELS} most frequent of {len(counts)}" if len(counts) > _SHOWN_LABELS else ""
            found.append((f"Answers{about}{more}", charts.bars(shown)))
        if bins := answers.confidences.get(name):
            marks = {} if cascade is None else _marks(cascade, name)
            found.append((f"Confidence of the answers{about}", charts.histogram(bins, x="confidence", marks=marks)))
    return Section("Answers", found) if found else None


def _marks(cascade: CascadeReport, name: str) -> dict[str, float]:
    """The thresholds of the models that have one."""
    fitted = next(promise.fitted for promise in cascade.promises if promise.question == name)
    given = zip(cascade.models, fitted.thresholds, strict=True)
    return {model: threshold for model, threshold in given if 0 <= threshold <= 1}


def _cascade(cascade: CascadeReport, rows: int) -> Section:
    decided = dict(zip(cascade.models, map(float, cascade.decided), strict=True))
    steps = [
        (model, asked, count, f"{count / max(rows, 1):.1%}")
        for model, asked, count in zip(cascade.models, cascade.asked, cascade.decided, strict=True)
    ]
    left = len(cascade.undecided)
    steps.append(("nobody", left, left, f"{left / max(rows, 1):.1%}"))
    chart = ("Rows decided by each model", charts.bars({**decided, "nobody": float(left)}))
    return Section("Who decided", [chart], columns=("model", "rows asked", "rows decided", "share"), rows=steps)


def _measured(promise: Promise, cascade: CascadeReport) -> Section:
    found: list[tuple[str, charts.Markup]] = []
    for place, model in enumerate(cascade.models):
        said = [answers[place] for answers in promise.answers if answers[place][0] >= 0]
        if said and not (cascade.agreement and place == len(cascade.models) - 1):
            found.append((f"How often {model} is right", charts.reliability(_bins(said), x="confidence")))
    labels = list(dict.fromkeys(label for pair in sorted(promise.confusion) for label in pair))
    if labels and len(labels) <= _MAX_LABELS:
        caption = "Expected (down) and decided (across)"
        found.append((caption, charts.confusion(labels, promise.confusion)))
    seen, given = promise.fitted.held_out, zip(cascade.models, promise.fitted.thresholds, strict=True)
    rows: list[Sequence[object]] = [
        ("promised, at most", f"{cascade.error:.2%}"),
        ("observed on the held-out examples", f"{seen.rate:.2%}"),
        ("at most, by these (exact, one-sided)", f"{promise.fitted.upper:.2%}"),
        ("examples held out", seen.examples),
        ("of these decided", seen.answers),
        *((f"confidence from which {model} decides", _limit(limit)) for model, limit in given),
    ]
    return Section(f"Measured: {promise.question}", found, columns=("", "value"), rows=rows)


def _limit(threshold: float) -> str:
    if threshold > 1:
        return "never"
    return f"{threshold:.4f}" if threshold >= 0 else "any"


def _bins(said: Sequence[tuple[float, bool]]) -> list[tuple[float, int, int]]:
    """Of each tenth of the answers, by their confidence: its mean, the answers, and how many are right."""
    ordered = sorted(said)
    size = max(1, -(-len(ordered) // 10))
    parts = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return [(sum(one for one, _ in part) / len(part), len(part), sum(right for _, right in part)) for part in parts]


def _speed(paces: Mapping[str, Pace]) -> Section | None:
    found = [
        (f"Rows a second by {model}", charts.curve(rates, x="seconds", y="rows/s"))
        for model, pace in paces.items()
        if len(rates := pace.rates()) > _LEAST_INTERVALS
    ]
    return Section("Speed", found) if found else None


def _errors(kinds: Mapping[str, tuple[int, str]]) -> Section | None:
    if not kinds:
        return None
    chart = ("Rows that failed, by kind of error", charts.bars({kind: rows for kind, (rows, _) in kinds.items()}))
    rows = [(kind, count, first) for kind, (count, first) in kinds.items()]
    return Section("Errors", [chart], columns=("kind", "rows", "the first"), rows=rows)


def _samples(samples: Sequence[Mapping[str, Any]]) -> Section | None:
    rows = [
        (sample.get("row"), _shortened(json_line(sample.get("output")))) for sample in samples if "output" in sample
    ]
    return Section("Samples", columns=("row", "output"), rows=rows) if rows else None


def _task(spec: BatchSpec) -> Section:
    texts = [("Prompt", spec.prompt)] if spec.prompt else []
    texts += [("System prompt", spec.system)] if spec.system else []
    asked = [(question.name, question.question, ", ".join(question.options)) for question in spec.questions]
    columns = ("name", "question", "answers") if asked else ()
    text = "Each row was turned into a vector." if spec.embed else ""
    return Section("Task", text=text, columns=columns, rows=asked, texts=texts)


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
