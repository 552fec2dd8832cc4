"""A prompt, questions or an embedding over many inputs, none of which passes through the agent."""

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

from ollama_mcp import Call, Data, Hints, tool
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.durations import format_seconds
from ollama_mcp.formats.json_text import json_line
from ollama_mcp.server.formatting import format_notes
from ollama_mcp.server.types import Background, Format, Options, Think
from ollama_mcp.work.decide import ClosedQuestion

if TYPE_CHECKING:
    from ollama_mcp.work.batch import BatchReport
    from ollama_mcp.work.cascade.run import CascadeReport, Promise

MAX_SAMPLE_CHARS = 200
# Destructive, since `overwrite` replaces a file; not idempotent, since a model does not answer the same twice.
WRITES = Hints(read_only=False, destructive=True, resumes=True)


class ErrorCount(BaseModel):
    """How many rows failed with one kind of error, and the message of the first."""

    kind: str
    rows: int
    first: str


class CascadeStep(BaseModel):
    """A model of a cascade: how many rows it was asked about, and how many it decided."""

    model: str
    asked: int
    decided: int


class Promised(BaseModel):
    """What is promised about a question, and what was seen on the examples that were held out."""

    question: str
    error: float
    held_out: int
    decided: int
    observed: float
    at_most: float
    thresholds: dict[str, float]

    def line(self, wrong: str) -> str:
        """The promise in words; `wrong` is what a row must not be."""
        return (
            f"{self.question}: at most {self.error:.3g} of the decided are {wrong}, promised with 95 % confidence; of "
            f"{self.decided:,} decided among {self.held_out:,} held-out examples {self.observed:.2%} were (at most "
            f"{self.at_most:.2%})."
        )


class Cascade(BaseModel):
    """Who decided the rows of a cascade."""

    steps: list[CascadeStep]
    undecided: int
    undecided_file: str | None = None
    promises: list[Promised]
    labels: str

    def lines(self, rows: int) -> list[str]:
        """The shares and the promises in words."""
        lines = [
            f"{step.model} decided {step.decided:,} ({step.decided / rows:.1%}) of {step.asked:,} that it was asked."
            for step in self.steps
        ]
        left = f", in {self.undecided_file}" if self.undecided_file else ""
        lines.append(f"{self.undecided:,} ({self.undecided / rows:.1%}) are left to you{left}.")
        wrong = "wrong" if self.labels == "expected" else f"unlike {self.labels}"
        return lines + [promise.line(wrong) for promise in self.promises]


class Batch(Data):
    """The result of a batch: counts, samples and the path of the file that holds the rows."""

    model: str
    rows: int
    done: int
    failed: int
    prompt_tokens: int | None = None
    tokens: int | None = None
    seconds: float
    rows_per_second: float
    output: str | None = None
    samples: list[dict[str, Any]] | None = None
    errors: list[ErrorCount] | None = None
    notes: list[str] | None = None
    cascade: Cascade | None = None
    report: str | None = None

    def as_text(self) -> str:
        token_counts = "" if self.tokens is None else f", {self.prompt_tokens:,} tokens read, {self.tokens:,} written"
        head = (
            f"{self.done:,} of {self.rows:,} rows done by {self.model} in {format_seconds(self.seconds)} "
            f"({self.rows_per_second:.3g}/s{token_counts})."
        )
        lines = [head, f"{self.failed:,} failed." if self.failed else "", self.output or ""]
        lines += self.cascade.lines(max(self.rows, 1)) if self.cascade is not None else []
        lines += format_notes(f"{error.rows:,} x [{error.kind}] {error.first}" for error in self.errors or [])
        lines += [json_line(sample) for sample in self.samples or []]
        lines.append(f"Report: {self.report}" if self.report else "")
        return "\n".join([line for line in lines if line] + format_notes(self.notes))


def _object(member: str, kind: str = "string", **more: str) -> dict[str, Any]:
    """The schema of an object with one member as an example.

    Another tool publishes the whole schema: every user pays for each word. Some hosts refuse an object without members.
    """
    return {"type": "object", "properties": {member: {"type": kind}}, **more}


Questions = Annotated[
    list[ClosedQuestion],
    WithJsonSchema({"type": "array", "items": _object("question")}),
]


@tool(title="Work through many inputs", toolset="work", hints=WRITES)
async def ollama_batch(
    call: Call,
    input: Annotated[list[str], Field(description="Texts, a glob, .txt, .csv, .jsonl.")],
    prompt: Annotated[str, Field(description="Template: {text}, {column}.")] = "",
    questions: Questions = [],
    embed: Annotated[bool, Field(description="Vectors.")] = False,
    system: str = "",
    format: Annotated[Format, WithJsonSchema(_object("type", description="JSON Schema."))] | None = None,
    output: Annotated[str, Field(description="New .jsonl, .csv, .npy.")] = "",
    overwrite: bool = False,
    limit: Annotated[int | None, Field(description="First rows.")] = None,
    chunk_chars: Annotated[int | None, Field(ge=200, description="Split a file.")] = None,
    model: str = "",
    options: Annotated[Options, WithJsonSchema(_object("seed", "integer"))] | None = None,
    think: Annotated[Think, WithJsonSchema({"type": "boolean"})] | None = None,
    cascade: Annotated[list[str], Field(description="Small first.")] = [],
    error: Annotated[float, WithJsonSchema({"type": "number", "description": "Allowed."})] = 0.05,
    examples: Annotated[str, Field(description="With expected.")] = "",
    report: Annotated[str, Field(description=".html.")] = "",
    background: Background = False,
) -> Batch:
    """Run a prompt, questions or embed over many inputs into a file; the same call resumes. A few: ollama_decide."""
    # With the first call: a listing of the tools stays quick.
    from ollama_mcp.work.batch import BatchSpec, run_batch

    spec = BatchSpec(
        input=input,
        prompt=prompt,
        questions=questions,
        embed=embed,
        system=system,
        format=format,
        output=output,
        overwrite=overwrite,
        limit=limit,
        chunk_chars=chunk_chars,
        model=model.strip(),
        options=options,
        think=think,
    )
    if examples and not cascade:
        raise InvalidArgument("examples goes with cascade.", next_step="Leave it out, or name the models in cascade.")
    if not cascade and not report:
        return _shown(await run_batch(call, spec), counts=not questions)
    from ollama_mcp.work.cascade import CascadeSpec
    from ollama_mcp.work.report.run import run_batch_with_report

    steps = CascadeSpec([name.strip() for name in cascade], error, examples) if cascade else None
    ended, decided, page = await run_batch_with_report(call, spec, steps, report)
    return _shown(ended, decided, page, counts=not questions)


def _shown(report: "BatchReport", cascade: "CascadeReport | None" = None, page: str = "", *, counts: bool) -> Batch:
    totals, progress = report.totals, report.progress
    return Batch(
        model=report.model,
        rows=report.total,
        done=totals.rows - totals.failed,
        failed=totals.failed,
        # Answers to questions do not tell their tokens.
        prompt_tokens=progress.prompt_tokens if counts else None,
        tokens=progress.tokens if counts else None,
        seconds=round(progress.seconds, 2),
        rows_per_second=round(progress.rate, 2),
        output=report.path or None,
        samples=[_shortened(sample) for sample in totals.samples] if report.path else totals.samples or None,
        errors=[ErrorCount(kind=kind, rows=rows, first=first) for kind, (rows, first) in totals.kinds.items()] or None,
        notes=report.notes or None,
        cascade=None if cascade is None else _cascade(cascade),
        report=page or None,
    )


def _cascade(report: "CascadeReport") -> Cascade:
    steps = zip(report.models, report.asked, report.decided, strict=True)
    return Cascade(
        steps=[CascadeStep(model=model, asked=asked, decided=decided) for model, asked, decided in steps],
        undecided=len(report.undecided),
        undecided_file=report.undecided_path or None,
        promises=[_promised(report, promise) for promise in report.promises],
        labels=report.models[-1] if report.agreement else "expected",
    )


def _promised(report: "CascadeReport", promise: "Promise") -> Promised:
    fitted, held_out = promise.fitted, promise.fitted.held_out
    # A model whose answers never count has none; below 0 each answer counts.
    given = zip(report.models, fitted.thresholds, strict=True)
    thresholds = {model: max(threshold, 0.0) for model, threshold in given if threshold <= 1}
    return Promised(
        question=promise.question,
        error=report.error,
        held_out=held_out.examples,
        decided=held_out.answers,
        observed=round(held_out.rate, 4),
        at_most=round(fitted.upper, 4),
        thresholds=thresholds,
    )


def _shortened(sample: dict[str, Any]) -> dict[str, Any]:
    """A row as a sample: long values are cut, a vector is left out."""
    return {name: _short(value) for name, value in sample.items() if name != "embedding"}


def _short(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= MAX_SAMPLE_CHARS else f"{text[:MAX_SAMPLE_CHARS]}…"
