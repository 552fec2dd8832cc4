"""One prompt over many inputs, without any of them passing through the agent."""

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

from ollama_mcp import Call, Data, Hints, tool
from ollama_mcp.formats.durations import shown_seconds
from ollama_mcp.server.types import Format, Options, Think
from ollama_mcp.work.decide import Question

if TYPE_CHECKING:
    from ollama_mcp.work.batch import Report

SHOWN_CHARS = 200
# Writes a file, and with `overwrite` over another one; what the model says is not the same twice.
WRITES = Hints(read_only=False, destructive=True, resumes=True)


class Problem(BaseModel):
    """Rows that failed for one kind of reason, and the first one's words."""

    kind: str
    rows: int
    first: str


class Batch(Data):
    """What a batch came to; the rows themselves are in the file."""

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
    errors: list[Problem] | None = None
    notes: list[str] | None = None

    def as_text(self) -> str:
        counted = "" if self.tokens is None else f", {self.prompt_tokens:,} tokens read, {self.tokens:,} written"
        head = (
            f"{self.done:,} of {self.rows:,} rows done by {self.model} in {shown_seconds(self.seconds)} "
            f"({self.rows_per_second:.3g}/s{counted})."
        )
        lines = [head, f"{self.failed:,} failed." if self.failed else "", self.output or ""]
        lines += [f"{problem.rows:,} x [{problem.kind}] {problem.first}" for problem in self.errors or []]
        lines += [json.dumps(sample, ensure_ascii=False) for sample in self.samples or []]
        return "\n".join([line for line in lines if line] + (self.notes or []))


def _object(member: str, kind: str = "string") -> dict[str, Any]:
    """An object with one member for example: what else it takes is told where it is at home, and words here cost."""
    return {"type": "object", "properties": {member: {"type": kind}}}


# As ollama_decide has them.
Questions = Annotated[list[Question], WithJsonSchema({"type": "array", "items": _object("question")})]


@tool(title="Work through many inputs", toolset="work", hints=WRITES)
async def ollama_batch(
    call: Call,
    input: Annotated[list[str], Field(description="Texts, or a path: .txt lines, .csv/.jsonl rows, glob.")],
    prompt: Annotated[str, Field(description="Template: {text}, {column}.")] = "",
    questions: Questions = [],
    embed: Annotated[bool, Field(description="Vectors instead of answers.")] = False,
    system: str = "",
    format: Annotated[Format, WithJsonSchema(_object("type"))] | None = None,
    output: Annotated[str, Field(description="New .jsonl, .csv, .npy.")] = "",
    overwrite: bool = False,
    limit: Annotated[int | None, Field(description="A trial of the first rows.")] = None,
    chunk_chars: Annotated[int | None, Field(description="Cut one long file into pieces.")] = None,
    model: str = "",
    options: Annotated[Options, WithJsonSchema(_object("seed", "integer"))] | None = None,
    think: Annotated[Think, WithJsonSchema({"type": "boolean"})] | None = None,
    background: bool = False,
) -> Batch:
    """Run a prompt, questions (as ollama_decide) or embed over many texts, rows, files or images, into a file. The
    same call resumes.
    """
    from ollama_mcp.work.batch import Order, run_batch

    order = Order(
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
    return _shown(await run_batch(call, order), counts=not questions)


def _shown(report: "Report", *, counts: bool) -> Batch:
    sums, tally = report.sums, report.tally
    return Batch(
        model=report.model,
        rows=report.total,
        done=sums.rows - sums.failed,
        failed=sums.failed,
        # Verdicts do not tell what they took.
        prompt_tokens=tally.prompt_tokens if counts else None,
        tokens=tally.tokens if counts else None,
        seconds=round(tally.seconds, 2),
        rows_per_second=round(tally.rate, 2),
        output=report.path or None,
        samples=[_shortened(sample) for sample in sums.samples] if report.path else sums.samples or None,
        errors=[Problem(kind=kind, rows=rows, first=first) for kind, (rows, first) in sums.kinds.items()] or None,
        notes=report.notes or None,
    )


def _shortened(sample: dict[str, Any]) -> dict[str, Any]:
    """A row as an example: long texts are cut, a vector is left out."""
    return {name: _short(value) for name, value in sample.items() if name != "embedding"}


def _short(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
