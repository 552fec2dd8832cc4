"""Search in files and texts, by words and by meaning."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field

from ollama_mcp import INFERS, Call, Data, tool
from ollama_mcp.server.formatting import format_notes, format_table
from ollama_mcp.server.types import Background, EmbedModel

if TYPE_CHECKING:
    from ollama_mcp.work.search import FoundPlace

# ollama_embed says which models these are; every user pays for the words in every session.
_Model = Annotated[EmbedModel, Field(description="Embedding model.")]


class Match(BaseModel):
    """A passage: lines of a file, as `files` of other tools take them, or the index of a text; of a table, a row."""

    score: float
    by: str | None = None
    place: str | None = None
    row: int | None = None
    index: int | None = None
    section: str | None = None
    excerpt: str | None = None
    matched: list[str] | None = None
    copies: int | None = None


class SearchResults(Data):
    """The passages that fit best, the best first."""

    model: str | None = None
    passages: int
    embedded: int
    rows: list[Match]
    notes: list[str] | None = None

    def as_text(self) -> str:
        new = f"{self.embedded:,} embedded now" if self.embedded else "all embedded before"
        how = f"by {self.model} ({new})" if self.model else "by their words"
        head = f"Best of {self.passages:,} passages {how}."
        columns = ("score", "place", "row", "section", "excerpt", "by", "copies")
        cells = (
            (
                *(f"{row.score:.4f}", row.place or f"texts[{row.index}]", row.row, row.section, row.excerpt, row.by),
                row.copies,
            )
            for row in self.rows
        )
        return "\n".join([head, format_table(columns, cells), *format_notes(self.notes)])


@tool(title="Search files and texts", toolset="work", hints=replace(INFERS, restarts=True))
async def ollama_search(
    call: Call,
    query: str,
    files: Annotated[list[str], Field(description="Paths, globs, 'a.py:10-80'.")] = [],
    texts: list[str] = [],
    k: Annotated[int, Field(ge=1, description="How many places.")] = 10,
    model: _Model = "",
    mode: Annotated[Literal["auto", "words", "meaning"], Field(description="auto: both.")] = "auto",
    rerank: Annotated[bool, Field(description="A model judges the best 40.")] = False,
    excerpts: Annotated[bool, Field(description="Show the best lines.")] = True,
    background: Background = False,
) -> SearchResults:
    """Search files or texts by words and meaning: the places nearest to a query. Similarity of pairs: ollama_embed."""
    # Work is imported with the first call, so that listing the tools stays fast.
    from ollama_mcp.work.search import search

    found = await search(call, query, files=files, texts=texts, count=k, model=model, mode=mode, rerank=rerank)
    return SearchResults(
        model=found.model or None,
        passages=found.passages,
        embedded=found.embedded,
        rows=[_match(place, with_excerpt=excerpts) for place in found.places],
        notes=found.notes or None,
    )


def _match(found: "FoundPlace", *, with_excerpt: bool) -> Match:
    is_text = found.place.text_index >= 0
    return Match(
        score=found.score,
        by=found.by or None,
        place=None if is_text else str(found.place),
        row=found.place.row or None,
        index=found.place.text_index if is_text else None,
        section=found.section or None,
        excerpt=found.excerpt if with_excerpt else None,
        matched=(found.matched or None) if with_excerpt else None,
        copies=found.copies or None,
    )
