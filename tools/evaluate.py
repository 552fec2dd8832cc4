"""Which model is good enough, measured on the user's own examples."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from ollama_mcp import Call, Data, Hints, tool
from ollama_mcp.server.failures import failure_text
from ollama_mcp.server.formatting import format_bytes, format_notes, format_table
from ollama_mcp.server.types import Background, Format, ModelName, Options, RequiresSetting
from ollama_mcp.work.choosing import ModelHabits
from ollama_mcp.work.decide import ClosedQuestion

if TYPE_CHECKING:
    from ollama_mcp.work.evaluate import Evaluation, ModelRow

# Labels that a table of confusions has room for.
MAX_TABLE = 8
# Nothing but the report is written, and no file is ever replaced by it.
ASKS = Hints(read_only=False, only_writes_output=True, resumes=True)
STATES = {"reached": "yes", "under": "no", "open": "can't tell", "waiting": "can't tell", "failed": "failed"}


def _object(member: str, kind: str) -> dict[str, Any]:
    """The schema of an object with one member as an example; another tool publishes all of them."""
    return {"type": "object", "properties": {member: {"type": kind}}}


def _list_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


class EvaluatedModel(BaseModel):
    """How a model did: whether it reaches the goal, its accuracy with the interval, and its figures."""

    model: str
    reaches: str
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    right: int
    examples: int
    examples_needed: int | None = None
    rows_per_second: float | None = None
    prompt_tokens: int | None = None
    tokens: int | None = None
    load_seconds: float | None = None
    memory_bytes: int | None = None
    gpu_percent: int | None = None
    notes: list[str] | None = None
    error: str | None = None


class Confusion(BaseModel):
    """How many examples that expect one label were given another, or the same."""

    expected: str
    answered: str
    examples: int


class FieldAccuracy(BaseModel):
    """How often one field or question was right."""

    field: str
    right: int
    examples: int


class FailedExample(BaseModel):
    """An example that the model got wrong, by its row in the file; with its content where that was asked for."""

    row: int
    probability: float | None = None
    others_wrong: str | None = None
    input: str | None = None
    expected: str | None = None
    answered: str | None = None


class Evaluated(Data):
    """The verdict, then a row for each model, smallest first; confusions, fields and failures are of `about`."""

    verdict: str
    model: str | None = None
    models: list[EvaluatedModel]
    metric: str
    judge: str | None = None
    about: str
    confusions: list[Confusion] | None = None
    fields: list[FieldAccuracy] | None = None
    failures: list[FailedExample] | None = None
    profile: str | None = None
    notes: list[str] | None = None
    report: str | None = None

    def as_text(self) -> str:
        columns = (
            *("model", "reaches it", "accuracy %", "interval", "examples", "rows/s", "tokens read", "written"),
            *("load s", "memory", "GPU", "notes"),
        )
        parts = [*format_notes(filter(None, (self.judge, self.verdict))), ""]
        parts.append(format_table(columns, map(self._cells, self.models)))
        parts += self._confusion_lines()
        if self.fields:
            parts.append(f"\nFields of {self.about}, the worst first:")
            rows = [(one.field, f"{one.right} of {one.examples} right") for one in self.fields]
            parts.append(format_table(("field", "right"), rows))
        if self.failures:
            parts.append(f"\nMost telling failures of {self.about}:")
            names = ("row", "probability", "others_wrong", "input", "expected", "answered")
            cells = [[getattr(one, name) for name in names] for one in self.failures]
            parts.append(format_table(names, cells))
        parts += ["", *format_notes(self.notes)] if self.notes else []
        parts += [f"Kept as model='profile:{self.profile}'."] if self.profile else []
        parts += [f"Report: {self.report}"] if self.report else []
        return "\n".join(parts)

    def _cells(self, row: EvaluatedModel) -> list[object]:
        notes = " ".join([*([row.error] if row.error else []), *(row.notes or [])])
        share = None if row.gpu_percent is None else f"{row.gpu_percent} %"
        accuracy, ends = None, None
        if row.accuracy is not None and row.low is not None and row.high is not None:
            accuracy, ends = f"{100 * row.accuracy:.1f}", f"{100 * row.low:.1f} to {100 * row.high:.1f}"
        figures = (row.rows_per_second, row.prompt_tokens, row.tokens, row.load_seconds)
        return [
            row.model,
            row.reaches,
            accuracy,
            ends,
            row.examples,
            *figures,
            format_bytes(row.memory_bytes),
            share,
            notes,
        ]

    def _confusion_lines(self) -> list[str]:
        pairs = {(one.expected, one.answered): one.examples for one in self.confusions or []}
        labels = list(dict.fromkeys(expected for expected, _ in pairs))
        answers = list(dict.fromkeys([*labels, *(answered for _, answered in pairs)]))
        if not any(expected != answered for expected, answered in pairs):
            return []
        head = f"\nConfusions of {self.about}, "
        if len(answers) > MAX_TABLE:
            wrong = [
                (one.expected, one.answered, one.examples)
                for one in self.confusions or []
                if one.expected != one.answered
            ]
            return [f"{head}the most frequent first:", format_table(("expected", "answered", "examples"), wrong)]
        rows = [[label, *(pairs.get((label, answer), 0) for answer in answers)] for label in labels]
        return [f"{head}what was expected by what was answered:", format_table(("", *answers), rows)]


@tool(title="Find the model that is good enough", toolset="work", hints=ASKS)
async def ollama_evaluate(
    call: Call,
    examples: Annotated[str, Field(description=".csv, .jsonl with expected")],
    models: Annotated[list[ModelName], WithJsonSchema(_list_of({"type": "string"}))] = [],
    prompt: str = "",
    questions: Annotated[list[ClosedQuestion], WithJsonSchema(_list_of(_object("question", "string")))] = [],
    system: str = "",
    format: Annotated[Format, WithJsonSchema(_object("type", "string"))] | None = None,
    options: SkipJsonSchema[Options | None] = None,
    metric: Annotated[str, Field(description="exact, label, number:0.1, fields, contains, regex, judge:RUBRIC")] = "",
    judge: str = "",
    goal: float = 0.9,
    confidence: SkipJsonSchema[float] = 0.95,
    profile: str = "",
    show_failures: bool = False,
    report: Annotated[str, RequiresSetting("read_only", on=False)] = "",
    background: Background = False,
) -> Evaluated:
    """Find the smallest model whose answers to your examples reach goal. Task as in ollama_batch."""
    # With the first call: a listing of the tools stays quick.
    from ollama_mcp.work.evaluate import EvaluationSpec, evaluate

    spec = EvaluationSpec(
        examples=examples,
        models=models,
        prompt=prompt,
        questions=questions,
        system=system,
        format=format,
        options=options,
        metric=metric,
        judge=judge.strip(),
        profile=profile.strip(),
        # A host may fill in 0 for what is left out.
        goal=goal or 0.9,
        confidence=confidence or 0.95,
    )
    # With habits of its own: a model that was evaluated is not the one to use when the next call names none.
    call = replace(call, habits=ModelHabits())
    if not report:
        return _evaluated(await evaluate(call, spec), show=show_failures)
    from ollama_mcp.work.report.run import evaluate_with_report

    evaluation, page = await evaluate_with_report(call, spec, report)
    return _evaluated(evaluation, page, show=show_failures)


def _evaluated(report: "Evaluation", page: str = "", *, show: bool) -> Evaluated:
    judge = None
    if report.judge is not None:
        model, agreed, tried = report.judge
        judge = f"The judge {model} agrees with what is expected in {agreed} of {tried} answers."
    failures = [
        FailedExample(
            row=one.row,
            probability=one.confidence,
            others_wrong=f"{one.also_wrong} of {one.others}" if one.others else None,
            **({"input": one.input, "expected": one.expected, "answered": one.answered} if show else {}),
        )
        for one in report.failures
    ]
    confusions = [Confusion(expected=pair[0], answered=pair[1], examples=pair[2]) for pair in report.confusion]
    fields = [FieldAccuracy(field=name, right=right, examples=seen) for name, (right, seen) in report.fields.items()]
    return Evaluated(
        verdict=report.verdict,
        model=report.chosen or None,
        models=[_model(row) for row in report.models],
        metric=report.metric,
        judge=judge,
        about=report.about,
        confusions=confusions or None,
        fields=fields or None,
        failures=failures or None,
        profile=report.profile or None,
        notes=report.notes or None,
        report=page or None,
    )


def _model(row: "ModelRow") -> EvaluatedModel:
    errors = [f"{count:,} x [{kind}] {first}" for kind, (count, first) in row.errors.items()]
    return EvaluatedModel(
        model=row.model,
        reaches=STATES[row.state],
        accuracy=round(row.accuracy, 4) if row.seen else None,
        low=round(row.low, 4) if row.seen else None,
        high=round(row.high, 4) if row.seen else None,
        right=row.right,
        examples=row.seen,
        examples_needed=row.needed,
        rows_per_second=None if row.rows_per_second is None else round(row.rows_per_second, 2),
        prompt_tokens=row.prompt_tokens,
        tokens=row.tokens,
        load_seconds=None if row.load_seconds is None else round(row.load_seconds, 2),
        memory_bytes=row.memory_bytes,
        gpu_percent=None if row.gpu_share is None else round(100 * row.gpu_share),
        notes=[*row.notes, *errors] or None,
        error=failure_text(row.error) if row.error is not None else None,
    )
