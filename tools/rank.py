"""What is nearest to a query in meaning, in files and texts."""

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from ollama_mcp import INFERS, Call, Data, tool
from ollama_mcp.server.text import table
from ollama_mcp.server.types import EmbedModel

if TYPE_CHECKING:
    from ollama_mcp.work.rank import Hit

# ollama_embed says what it takes; every user pays for the words in every session.
_Model = Annotated[EmbedModel, Field(description=None)]


class Row(BaseModel):
    """A passage: lines of a file, as `files` of other tools take them, or the index of a text."""

    score: float
    place: str | None = None
    index: int | None = None
    excerpt: str | None = None


class Ranked(Data):
    """The nearest passages, the nearest first."""

    model: str
    passages: int
    embedded: int
    rows: list[Row]
    notes: list[str] | None = None

    def as_text(self) -> str:
        new = f"{self.embedded:,} embedded now" if self.embedded else "all embedded before"
        head = f"Nearest of {self.passages:,} passages by {self.model} ({new})."
        cells = ((f"{row.score:.4f}", row.place or f"texts[{row.index}]", row.excerpt) for row in self.rows)
        return "\n".join([head, table(("score", "place", "excerpt"), cells), *(self.notes or [])])


@tool(title="Find by meaning", toolset="work", hints=INFERS)
async def ollama_rank(
    call: Call,
    query: str,
    files: list[str] = [],
    texts: list[str] = [],
    k: int = 10,
    model: _Model = "",
    excerpts: bool = False,
    background: bool = False,
) -> Ranked:
    """Search files, globs or texts by meaning: the places nearest to a query."""
    from ollama_mcp.work.rank import rank

    found = await rank(call, query, files=files, texts=texts, count=k, model=model)
    rows = [_row(hit, with_excerpt=excerpts) for hit in found.hits]
    return Ranked(
        model=found.model, passages=found.passages, embedded=found.embedded, rows=rows, notes=found.notes or None
    )


def _row(hit: "Hit", *, with_excerpt: bool) -> Row:
    is_text = hit.place.text >= 0
    return Row(
        score=hit.score,
        place=None if is_text else str(hit.place),
        index=hit.place.text if is_text else None,
        excerpt=hit.excerpt if with_excerpt else None,
    )
