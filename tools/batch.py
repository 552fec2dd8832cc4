"""A prompt, questions or an embedding over many inputs, none of which passes through the agent."""

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

from ollama_mcp import Call, Data, Hints, tool
from ollama_mcp.formats.durations import format_seconds
from ollama_mcp.formats.json_text import json_line
from ollama_mcp.server.formatting import format_notes
from ollama_mcp.server.types import Background, Format, Options, Think
from ollama_mcp.work.decide import ClosedQuestion

if TYPE_CHECKING:
    from ollama_mcp.work.batch import BatchReport

MAX_SAMPLE_CHARS = 200
# Destructive, since `overwrite` replaces a file; not idempotent, since a model does not answer the same twice.
WRITES = Hints(read_only=False, destructive=True, resumes=True)


class ErrorCount(BaseModel):
    """How many rows failed with one kind of error, and the message of the first."""

    kind: str
    rows: int
    first: str


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

    def as_text(self) -> str:
        token_counts = "" if self.tokens is None else f", {self.prompt_tokens:,} tokens read, {self.tokens:,} written"
        head = (
            f"{self.done:,} of {self.rows:,} rows done by {self.model} in {format_seconds(self.seconds)} "
            f"({self.rows_per_second:.3g}/s{token_counts})."
        )
        lines = [head, f"{self.failed:,} failed." if self.failed else "", self.output or ""]
        lines += format_notes(f"{error.rows:,} x [{error.kind}] {error.first}" for error in self.errors or [])
        lines += [json_line(sample) for sample in self.samples or []]
        return "\n".join([line for line in lines if line] + format_notes(self.notes))


def _object(member: str, kind: str = "string", **more: str) -> dict[str, Any]:
    """The schema of an object with one member as an example.

    Another tool publishes the whole schema: every user pays for each word. Some hosts refuse an object without members.
    """
    return {"type": "object", "properties": {member: {"type": kind}}, **more}


Questions = Annotated[
    list[ClosedQuestion],
    WithJsonSchema({"type": "array", "items": _object("question"), "description": "As in ollama_decide."}),
]


@tool(title="Work through many inputs", toolset="work", hints=WRITES)
async def ollama_batch(
    call: Call,
    input: Annotated[list[str], Field(description="Texts, a glob, or a .txt, .csv or .jsonl of rows.")],
    prompt: Annotated[str, Field(description="Template: {text}, {column}.")] = "",
    questions: Questions = [],
    embed: Annotated[bool, Field(description="Write vectors.")] = False,
    system: str = "",
    format: Annotated[Format, WithJsonSchema(_object("type", description="JSON Schema."))] | None = None,
    output: Annotated[str, Field(description="New .jsonl, .csv, .npy.")] = "",
    overwrite: bool = False,
    limit: Annotated[int | None, Field(description="First rows only.")] = None,
    chunk_chars: Annotated[int | None, Field(ge=200, description="Split one long file.")] = None,
    model: str = "",
    options: Annotated[Options, WithJsonSchema(_object("seed", "integer"))] | None = None,
    think: Annotated[Think, WithJsonSchema({"type": "boolean"})] | None = None,
    background: Background = False,
) -> Batch:
    """Run a prompt, questions or embed over many inputs, into a file. The same call resumes. Questions about a few
    inputs: ollama_decide.
    """
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
    return _shown(await run_batch(call, spec), counts=not questions)


def _shown(report: "BatchReport", *, counts: bool) -> Batch:
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
    )


def _shortened(sample: dict[str, Any]) -> dict[str, Any]:
    """A row as a sample: long values are cut, a vector is left out."""
    return {name: _short(value) for name, value in sample.items() if name != "embedding"}


def _short(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= MAX_SAMPLE_CHARS else f"{text[:MAX_SAMPLE_CHARS]}…"
