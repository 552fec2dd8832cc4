"""The arguments of a batch: checked before any work, and hashed into the key of its checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL

if TYPE_CHECKING:
    from ollama_mcp.work.batch.rows import RowSource
    from ollama_mcp.work.decide import ClosedQuestion

# More rows than this would fill the agent's context; they have to go to a file.
MAX_INLINE_ROWS = 20
_ONE_TASK = "Provide exactly one of prompt, questions and embed=true."


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """What a batch is asked to do; see the arguments of ollama_batch for each field.

    Attributes:
        suffixes: What the name of the output may end in.
    """

    input: Sequence[str]
    prompt: str = ""
    questions: Sequence[ClosedQuestion] = ()
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
    cascade: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "suffixes", (".npy", ".jsonl") if self.embed else (".jsonl", ".csv"))

    def validate(self) -> None:
        """Check that the arguments fit together.

        Raises:
            InvalidArgument: They do not; it says which, and what to give.
        """
        if not self.input:
            raise InvalidArgument("input is empty.", next_step="Give texts, or one path.")
        if self.embed and self.questions:
            raise InvalidArgument("questions and embed cannot be combined.", next_step=_ONE_TASK)
        if not (self.prompt or self.questions or self.embed):
            raise InvalidArgument("There is nothing to do with the input.", next_step=_ONE_TASK)
        if self.limit is not None and self.limit < 1:
            raise InvalidArgument(
                f"limit is {self.limit}.",
                next_step="Leave it out for all rows, or give how many to try, such as 5.",
            )
        prompts = not self.embed and not self.questions
        for name, given in (("system", self.system), ("format", self.format), ("think", self.think)):
            if given and not prompts:
                raise InvalidArgument(f"{name} can only be used with prompt.", next_step="Leave it out.")
        if self.embed and not self.output:
            raise InvalidArgument("embed needs output.", next_step="Give a path that ends in .npy or .jsonl.")

    def check_row_count(self, total: int) -> None:
        """Check that rows without an output file fit into the result.

        Raises:
            InvalidArgument: There are too many; it names the number.
        """
        rows = min(total, self.limit or total)
        if not self.output and rows > MAX_INLINE_ROWS:
            raise InvalidArgument(
                f"{rows:,} rows need output; the result itself holds at most {MAX_INLINE_ROWS}.",
                next_step=f"Give output, a path that ends in {' or '.join(self.suffixes)}, or limit for a trial.",
            )

    def checkpoint_key(self, source: RowSource, model: str, digest: str) -> str:
        """Hash what decides the result of a row.

        `limit`, `output` and `overwrite` are left out: a call that differs in these alone continues the same work.

        Args:
            source: The rows.
            model: The model that works.
            digest: The model's digest, so that a model that was pulled anew starts over.
        """
        given: dict[str, Any] = {
            "input": source.fingerprint,
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
        if (principal := CURRENT_PRINCIPAL.get()) is not None:
            # What was done for one is not handed to another, who may not have been allowed to.
            given["principal"] = principal.name
        return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
