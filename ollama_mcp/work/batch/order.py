"""What a batch was asked to do, as far as the words of the call tell, and the key that finds its checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.names import parse_name

if TYPE_CHECKING:
    from ollama_mcp.work.batch.rows import Source
    from ollama_mcp.work.decide import Question

SHOWN_ROWS = 20
SHORTEST_CHUNK = 200
_FORMS = "Give one of prompt, questions and embed=true."


@dataclass(frozen=True, slots=True)
class Order:
    """The arguments of a batch; see the tool for what each means."""

    input: Sequence[str]
    prompt: str = ""
    questions: Sequence[Question] = ()
    embed: bool = False
    system: str = ""
    format: dict[str, Any] | str | None = None
    output: str = ""
    overwrite: bool = False
    limit: int | None = None
    chunk_chars: int | None = None
    model: str = ""
    options: dict[str, Any] | None = None
    think: bool | str | None = None
    suffixes: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "suffixes", (".npy", ".jsonl") if self.embed else (".jsonl", ".csv"))

    def check(self) -> None:
        """Refuse arguments that do not go together.

        Raises:
            InvalidArgument: Says which, and what to give.
        """
        if not self.input:
            raise InvalidArgument("input is empty.", next_step="Give texts, or one path.")
        if self.embed and self.questions:
            raise InvalidArgument("questions and embed are two different batches.", next_step=_FORMS)
        if not (self.prompt or self.questions or self.embed):
            raise InvalidArgument("There is nothing to do with the input.", next_step=_FORMS)
        if self.limit is not None and self.limit < 1:
            raise InvalidArgument(f"limit is {self.limit}.", next_step="Give the number of rows to try, such as 5.")
        if self.chunk_chars is not None and self.chunk_chars < SHORTEST_CHUNK:
            raise InvalidArgument(
                f"chunk_chars is {self.chunk_chars}, but takes the characters of a piece, {SHORTEST_CHUNK} or more.",
                next_step="4000 is about a page and a half.",
            )
        plain = not self.embed and not self.questions
        for name, given in (("system", self.system), ("format", self.format), ("think", self.think)):
            if given and not plain:
                raise InvalidArgument(f"{name} goes with prompt alone.", next_step="Leave it out.")
        if self.embed and not self.output:
            raise InvalidArgument("embed needs output.", next_step="Give a path that ends in .npy or .jsonl.")

    def check_rows(self, total: int) -> None:
        """Refuse more rows than a result holds where there is no file for them.

        Raises:
            InvalidArgument: Names the number.
        """
        rows = min(total, self.limit or total)
        if not self.output and rows > SHOWN_ROWS:
            raise InvalidArgument(
                f"{rows:,} rows need output; at most {SHOWN_ROWS} come back in the result itself.",
                next_step=f"Give output, a path that ends in {' or '.join(self.suffixes)}, or limit for a trial.",
            )

    def key(self, source: Source, model: str, digest: str) -> str:
        """The hash of all that decides what a row's result is; not of how many rows, nor of where they go."""
        given = {
            "input": source.identity,
            "prompt": self.prompt,
            "questions": [question.model_dump() for question in self.questions],
            "embed": self.embed,
            "system": self.system,
            "format": self.format,
            "model": parse_name(model).key,
            "digest": digest,
            "options": self.options,
            "think": self.think,
        }
        return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
