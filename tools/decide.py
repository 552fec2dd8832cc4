"""Questions with a fixed set of answers, about texts, files and images."""

from typing import Annotated

from pydantic import BaseModel, Field

from ollama_mcp import INFERS, Call, Data, tool
from ollama_mcp.server.failures import failure_text
from ollama_mcp.server.text import table
from ollama_mcp.server.types import ImageSources, ModelName
from ollama_mcp.work.decide import Question
from ollama_mcp.work.decide.inputs import Inputs, Judged
from ollama_mcp.work.decide.judging import judge

# ollama_chat says where a name comes from; every user pays for the words in every session.
_Model = Annotated[ModelName, Field(description=None)]


class Row(BaseModel):
    """The answer to a question about an input, or why there is none."""

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
    rows: list[Row]
    notes: list[str] | None = None

    def as_text(self) -> str:
        columns = ("input", "question", "answer", "probability", "confidence", "score", "note", "error")
        one = len({row.question for row in self.rows if row.question}) == 1
        cells = [[None if one and name == "question" else getattr(row, name) for name in columns] for row in self.rows]
        ways = {"decision": "its own probabilities", "logprobs": "its log-probabilities", "schema": "its word only"}
        head = f"Decided by {self.model} ({ways[self.way]})."
        meaning = "confidence: how little the probabilities are spread, not how likely the answer is right."
        spread = [meaning] if any(row.confidence is not None for row in self.rows) else []
        return "\n".join([head, table(columns, cells), *spread, *(self.notes or [])])


@tool(title="Classify, score, check", toolset="work", hints=INFERS)
async def ollama_decide(
    call: Call,
    questions: list[Question],
    texts: list[str] = [],
    files: list[str] = [],
    images: ImageSources = [],
    model: _Model = "",
    shuffle: bool = False,
    background: bool = False,
) -> Decisions:
    """Classify, score or check texts, files or images by a local model, with probabilities. Questions take labels
    ('label: meaning'), levels (low first) or neither (yes/no). shuffle: several orders.
    """
    found = await judge(call, questions, Inputs(texts, files, images), model, shuffle=shuffle)
    rows = [row for judged in found.rows for row in _rows(judged)]
    rows += [Row(input=asked, error=why) for asked, why in found.unread]
    notes = found.notes
    if len(rows) > call.settings.limits.listed:
        notes = [*notes, "So many answers are given without the probabilities of the other options."]
        rows = [row.model_copy(update={"probabilities": None}) for row in rows]
    return Decisions(model=found.model, way=_way(found.way, rows), rows=rows, notes=notes or None)


def _way(meant: str, rows: list[Row]) -> str:
    """How it was decided; where no row came by the letters, by the model's word after all."""
    answered = [row for row in rows if row.answer is not None]
    return "schema" if answered and all(row.probability is None for row in answered) else meant


def _rows(judged: Judged) -> list[Row]:
    if judged.error is not None:
        return [Row(input=judged.input, error=failure_text(judged.error))]
    return [
        Row(input=judged.input, question=name, probability=verdict.probability, **verdict.as_json())
        for name, verdict in judged.verdicts.items()
    ]
