"""Questions with a fixed set of answers, about texts, files and images."""

from typing import Annotated

from pydantic import BaseModel, Field

from ollama_mcp import INFERS, Call, Data, tool
from ollama_mcp.server.failures import failure_text
from ollama_mcp.server.formatting import format_notes, format_table
from ollama_mcp.server.types import Background, ImageSources, ModelName
from ollama_mcp.work.decide import ClosedQuestion
from ollama_mcp.work.decide.run import DecisionInputs, InputResult, decide_inputs

# ollama_chat says where a name comes from; every user pays for the words in every session.
_Model = Annotated[ModelName, Field(description="")]
# Where the probabilities come from, by the method that answered.
PROBABILITIES = {"decision": "its own probabilities", "logprobs": "its log-probabilities", "schema": "no probabilities"}


class DecisionRow(BaseModel):
    """The answer to one question about one input, or the error in its place."""

    input: str
    question: str | None = None
    answer: str | None = None
    probability: float | None = None
    confidence: float | None = None
    score: float | None = None
    probabilities: dict[str, float] | None = None
    note: str | None = None
    error: str | None = None


class Decisions(Data):
    """All answers, in the order of the inputs, then of the questions."""

    model: str
    way: str
    rows: list[DecisionRow]
    notes: list[str] | None = None

    def as_text(self) -> str:
        columns = ("input", "question", "answer", "probability", "confidence", "score", "note", "error")
        # A single question needs no column to tell it from others.
        same = len({row.question for row in self.rows if row.question}) == 1
        cells = [[None if same and name == "question" else getattr(row, name) for name in columns] for row in self.rows]
        methods = {
            "decision": "its own probabilities",
            "logprobs": "its log-probabilities",
            "schema": "no probabilities",
        }
        head = f"Decided by {self.model} ({methods[self.way]})."
        explanation = "confidence: how concentrated the probabilities are, not how likely the answer is right."
        legend = [explanation] if any(row.confidence is not None for row in self.rows) else []
        return "\n".join([head, format_table(columns, cells), *legend, *format_notes(self.notes)])


@tool(title="Classify, score, check", toolset="work", hints=INFERS)
async def ollama_decide(
    call: Call,
    questions: Annotated[
        list[ClosedQuestion],
        Field(description="Each with labels ('label: meaning'), levels (low first) or neither (yes/no)."),
    ] = [],
    texts: Annotated[list[str], Field(description="Judged one by one.")] = [],
    files: Annotated[list[str], Field(description="Paths or globs.")] = [],
    images: Annotated[ImageSources, Field(description="Paths or base64.")] = [],
    model: _Model = "",
    shuffle: Annotated[bool, Field(description="Average over orders.")] = False,
    background: Background = False,
) -> Decisions:
    """Classify, score or check a few texts, files or images, with probabilities. Many inputs: ollama_batch."""
    found = await decide_inputs(call, questions, DecisionInputs(texts, files, images), model, shuffle=shuffle)
    rows = [row for result in found.rows for row in _rows(result)]
    rows += [DecisionRow(input=path, error=reason) for path, reason in found.unread]
    notes = found.notes
    # All options of many rows would fill the agent's context.
    if len(rows) > call.settings.limits.listed:
        notes = [*notes, "With so many answers, the probabilities of the other options are left out."]
        rows = [row.model_copy(update={"probabilities": None}) for row in rows]
    return Decisions(model=found.model, way=_way(found.method, rows), rows=rows, notes=notes or None)


def _way(method: str, rows: list[DecisionRow]) -> str:
    """The method that answered: by schema after all where the model gave no letter for any row."""
    answered = [row for row in rows if row.answer is not None]
    return "schema" if answered and all(row.probability is None for row in answered) else method


def _rows(result: InputResult) -> list[DecisionRow]:
    if result.error is not None:
        return [DecisionRow(input=result.input, error=failure_text(result.error))]
    return [
        DecisionRow(input=result.input, question=name, probability=verdict.probability, **verdict.as_json())
        for name, verdict in result.verdicts.items()
    ]
