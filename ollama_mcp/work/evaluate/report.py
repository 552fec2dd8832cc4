"""What an evaluation came to: the verdict in words, a row for each model, what it confuses and where it fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.work.evaluate.intervals import Target, examples_needed, flawless_examples, interval

if TYPE_CHECKING:
    from ollama_mcp.work.evaluate.contender import Contender
    from ollama_mcp.work.evaluate.examples import Example, Examples
    from ollama_mcp.work.evaluate.metrics import Metric, Score

MAX_FAILURES = 5
# More or longer expectations are no labels.
MAX_LABELS, MAX_LABEL_CHARS = 30, 40
_OTHER = "(another)"
_MAX_PAIRS = 40
_SHOWN_CHARS = 300


@dataclass(frozen=True, slots=True)
class ModelRow:
    """How a model did.

    Args:
        model: Its name.
        state: "reached" or "under" the goal; "open" where the examples do not tell; "waiting" where asking on was not
            worth it; "failed".
        right: Examples that it answered right.
        seen: Examples that count for it.
        low: The lower end of its accuracy's interval.
        high: The upper end.
        needed: About how many examples would tell, where these did not; None where more than any file has.
        rows_per_second: Of this call; None where it asked nothing.
        prompt_tokens: Tokens that were read in this call; None where nobody counts them.
        tokens: Tokens that were written.
        load_seconds: Until the first answer, where the model had to be loaded.
        memory_bytes: Memory that it takes.
        gpu_share: The part of that on GPUs.
        size: Bytes on disk.
        errors: By kind, how many rows failed, and the message of the first.
        error: Why it could not be asked on.
        notes: What should be known about its answers.
    """

    model: str
    state: str
    right: int
    seen: int
    low: float
    high: float
    needed: int | None = None
    rows_per_second: float | None = None
    prompt_tokens: int | None = None
    tokens: int | None = None
    load_seconds: float | None = None
    memory_bytes: int | None = None
    gpu_share: float | None = None
    size: int = 0
    errors: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    error: OllamaMCPError | None = None
    notes: Sequence[str] = ()

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.right / self.seen if self.seen else 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """An example that the model of the verdict got wrong.

    Args:
        row: Its row in the file.
        confidence: The probability that the model gave to its wrong answer.
        also_wrong: How many of the other models that were asked got it wrong too.
        others: How many others were asked.
        expected: What was expected, where content is asked for.
        answered: What was answered, likewise.
        input: What it was about, likewise.
    """

    row: int
    confidence: float | None = None
    also_wrong: int = 0
    others: int = 0
    expected: str = ""
    answered: str = ""
    input: str = ""


@dataclass(slots=True)
class Evaluation:
    """The outcome of an evaluation.

    Args:
        verdict: It in one or two sentences.
        models: A row for each model, smallest first.
        chosen: The smallest model that reaches the goal, or "".
        about: The model that confusion, fields and failures are about.
        examples: How many examples there are.
        metric: How answers were compared.
        target: The goal, and how sure it has to be.
        confusion: How often what was expected was answered by what, where answers are labels.
        fields: How often each field was right, of how many.
        failures: The most telling failures.
        profile: The name under which it was kept, or "".
        judge: The judge's model, and how many of how many answers it judged as it should.
        notes: What should be known.
    """

    verdict: str
    models: list[ModelRow]
    chosen: str
    about: str
    examples: int
    metric: str
    target: Target
    confusion: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])
    fields: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    failures: list[Failure] = field(default_factory=list[Failure])
    profile: str = ""
    judge: tuple[str, int, int] | None = None
    notes: list[str] = field(default_factory=list[str])


def model_row(contender: Contender, target: Target) -> ModelRow:
    """The row of a model."""
    standing, pace = contender.standing, contender.asking.pace
    low, high = interval(standing.right, standing.seen, target)
    undecided = standing.state in ("open", "waiting") and standing.seen > 0
    errors: dict[str, tuple[int, str]] = {}
    for record in contender.asking.records.values():
        if record.kind:
            count, first = errors.get(record.kind, (0, record.message))
            errors[record.kind] = count + 1, first
    # The first answer is in the time to load, so that it is not counted twice.
    load = None if pace.load_seconds is None else max(0.0, pace.load_seconds - (1 / pace.rate if pace.rate else 0.0))
    return ModelRow(
        model=contender.name,
        state=standing.state,
        right=standing.right,
        seen=standing.seen,
        low=low,
        high=high,
        needed=examples_needed(standing.right, standing.seen, target) if undecided else None,
        rows_per_second=pace.rate or None,
        prompt_tokens=pace.prompt_tokens or None,
        tokens=pace.tokens or None,
        load_seconds=load,
        memory_bytes=contender.memory_bytes,
        gpu_share=contender.gpu_share,
        size=contender.size,
        errors=errors,
        error=contender.error,
        notes=contender.asking.notes,
    )


def make_report(contenders: Sequence[Contender], examples: Examples, metric: Metric, target: Target) -> Evaluation:
    """What the models came to."""
    rows = [model_row(contender, target) for contender in contenders]
    chosen = next((row for row in rows if row.state == "reached"), None)
    about = chosen or max(rows, key=lambda row: (row.seen > 0, row.accuracy))
    place = rows.index(about)
    scores = contenders[place].scores
    others = [contender for contender in contenders if contender is not contenders[place]]
    report = Evaluation(
        verdict(rows, len(examples.examples), target),
        rows,
        chosen.model if chosen else "",
        about.model,
        len(examples.examples),
        metric.name,
        target,
        fields=_fields(scores),
        failures=_failures(scores, others, examples),
        notes=[*examples.notes],
    )
    if metric.has_labels:
        report.confusion = _confusion(scores, examples)
    least = flawless_examples(target)
    if len(examples.examples) < least:
        report.notes.append(
            f"{len(examples.examples):,} examples are too few to show {percent(target.goal)} %: even without a failure "
            f"it takes {least:,}."
        )
    return report


def verdict(rows: Sequence[ModelRow], total: int, target: Target) -> str:
    """The verdict in words.

    Args:
        rows: The models, smallest first.
        total: How many examples there are.
        target: The goal.
    """
    goal = f"{percent(target.goal)} %"
    chosen = next((row for row in rows if row.state == "reached"), None)
    if chosen is not None:
        figures = [described(chosen, total)]
        figures += [f"{rate(chosen.rows_per_second)} rows/s"] if chosen.rows_per_second else []
        figures += [f"{chosen.size / 1e9:.1f} GB"] if chosen.size else []
        smaller = rows[: rows.index(chosen)]
        maybe = [row for row in smaller if row.state in ("open", "waiting") and row.seen]
        more = "".join(f" {row.model} may too: {described(row, total)}." for row in maybe[-1:])
        return f"Smallest model that reaches {goal} here: {chosen.model}, {', '.join(figures)}.{more}"
    undecided = [row for row in rows if row.state in ("open", "waiting") and row.seen]
    known = [row for row in rows if row.seen]
    if not known:
        return "No model answered."
    if not undecided:
        best = max(known, key=lambda row: row.accuracy)
        return f"None reaches {goal} here; the best is {best.model}, {described(best, total)}."
    best = max(undecided, key=lambda row: row.accuracy)
    needed = f"about {best.needed:,} examples would" if best.needed else "its accuracy is too near to the goal to say"
    return f"Can't tell yet whether {best.model} reaches {goal}: {described(best, total)}; {needed}."


def described(row: ModelRow, total: int) -> str:
    """A model's accuracy in words: "96 % (92 to 98, 140 of 200 examples)"."""
    ends = f"{percent(row.low)} to {percent(row.high)}"
    return f"{percent(row.accuracy)} % ({ends}, {row.seen:,} of {total:,} examples)"


def rate(value: float) -> str:
    """Rows per second as words: "0.42", "8.1", "1,104"."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def percent(share: float) -> str:
    """A share in per cent, with a decimal where it is near one of the ends."""
    value = 100 * share
    return f"{value:.1f}".removesuffix(".0") if 99 < value < 100 or 0 < value < 1 else f"{value:.0f}"


def _fields(scores: dict[int, Score]) -> dict[str, tuple[int, int]]:
    right: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for score in scores.values():
        for name, is_right in score.fields.items():
            seen[name] += 1
            right[name] += is_right
    # Those that fail most come first.
    names = sorted(seen, key=lambda name: (right[name] / seen[name], name))
    return {name: (right[name], seen[name]) for name in names}


def _confusion(scores: dict[int, Score], examples: Examples) -> list[tuple[str, str, int]]:
    from ollama_mcp.work.evaluate.metrics import normalised, shortened

    labels = {normalised(example.expected): shortened(example.expected) for example in examples.examples}
    if len(labels) > MAX_LABELS or max(map(len, labels.values())) > MAX_LABEL_CHARS:
        return []
    pairs: Counter[tuple[str, str]] = Counter()
    for number, score in scores.items():
        label = labels[normalised(examples.examples[number - 1].expected)]
        # What is no label is content, which is shown only where it is asked for.
        answered = label if score.right else labels.get(normalised(score.answered), _OTHER)
        pairs[label, answered] += 1
    wrong = [(*pair, count) for pair, count in pairs.most_common() if pair[0] != pair[1]]
    right = sorted((*pair, count) for pair, count in pairs.items() if pair[0] == pair[1])
    return [*right, *wrong][:_MAX_PAIRS]


def _failures(scores: dict[int, Score], others: Sequence[Contender], examples: Examples) -> list[Failure]:
    """The failures that tell most: those the model was surest of, then those that most other models share."""
    found: list[tuple[Failure, int]] = []
    for number, score in scores.items():
        if score.right:
            continue
        asked = [other.scores[number] for other in others if number in other.scores]
        wrong = sum(not other.right for other in asked)
        example = examples.examples[number - 1]
        found.append((Failure(example.row, score.confidence, wrong, len(asked), **_content(example, score)), number))
    found.sort(key=lambda pair: (-(pair[0].confidence or 0.0), -pair[0].also_wrong, pair[0].row))
    return [failure for failure, _ in found[:MAX_FAILURES]]


def _content(example: Example, score: Score) -> dict[str, Any]:
    from ollama_mcp.work.batch.rows import InputRow
    from ollama_mcp.work.evaluate.metrics import as_text

    texts = {
        "input": InputRow(1, columns=example.columns).text,
        "expected": as_text(example.expected),
        "answered": score.answered,
    }
    return {name: text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…" for name, text in texts.items()}
