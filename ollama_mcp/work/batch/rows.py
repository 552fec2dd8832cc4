"""A row of a batch: one input, what is known of it, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from ollama_mcp.errors import DiskError, OllamaMCPError

# What is nested deeper can be read, but not be written again within another value: one row would end the whole batch.
MOST_LEVELS = 100


class InputChanged(DiskError):
    """The input is no longer what the rows that are done were made of: the same call finds none of them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One input.

    Args:
        number: Its place, counted from 1; the same at every reading of the same input.
        place: Where it comes from: a line, a path, the lines of a piece. Never its content.
        columns: What a template may name; a text has the one column "text". A file has it only once it is read.
        wrong: Why it cannot be used; empty where it can.
    """

    number: int
    place: dict[str, Any] = field(default_factory=dict[str, Any])
    columns: dict[str, Any] = field(default_factory=dict[str, Any])
    wrong: str = ""

    @property
    def text(self) -> str:
        """The whole input: the text, or all columns as JSON."""
        text = self.columns.get("text")
        return text if isinstance(text, str) else json.dumps(self.columns, ensure_ascii=False)

    @property
    def chars(self) -> int:
        """About how many characters it holds."""
        return sum(len(value) if isinstance(value, str) else 16 for value in self.columns.values())


class Source(Protocol):
    """Where rows come from. Its methods work on the disk and belong in a thread."""

    @property
    def shown(self) -> str:
        """What messages call it."""
        ...

    @property
    def identity(self) -> str:
        """What is different once the input is; a part of the key of a run."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """What a template may name."""
        ...

    @property
    def is_table(self) -> bool:
        """Whether its columns are kept beside the results."""
        ...

    @property
    def from_files(self) -> bool:
        """Whether it is read from the disk, so that the agent never saw it."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What should be known of what it holds, such as files that may not be read."""
        ...

    def rows(self) -> Iterator[Row]:
        """All rows from the beginning; one iteration at a time."""
        ...

    def check(self) -> None:
        """Make sure that it is still what it was.

        Raises:
            InputChanged: It is not.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """What came of a row, as it is kept.

    Args:
        output: The model's words, the value of a format or the verdicts; None where there is an error.
        notes: What should be known of the answer.
        prompt_tokens: Tokens that were read.
        tokens: Tokens that were written.
        kind: Kind of the error, or "".
        message: The error in words.
    """

    output: Any = None
    notes: tuple[str, ...] = ()
    prompt_tokens: int = 0
    tokens: int = 0
    kind: str = ""
    message: str = ""

    def encode(self) -> bytes:
        """As JSON, without what is empty."""
        given = {
            "output": self.output,
            "notes": list(self.notes),
            "prompt_tokens": self.prompt_tokens,
            "tokens": self.tokens,
            "kind": self.kind,
            "message": self.message,
        }
        return json.dumps({name: value for name, value in given.items() if value or name == "output"}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """The record of `encode`."""
        given: dict[str, Any] = json.loads(data)
        given["notes"] = tuple(given.get("notes", ()))
        return cls(**given)

    @classmethod
    def of(cls, error: OllamaMCPError) -> Record:
        """The record of a failure; what the model wrote before it is not kept."""
        return cls(kind=error.kind, message=str(error)[:400])


def is_too_deep(value: Any) -> bool:
    """Tell whether a value of JSON is nested deeper than `MOST_LEVELS`."""
    level: list[Any] = [value]
    for _ in range(MOST_LEVELS):
        level = [member for one in level for member in _members(one)]
        if not level:
            return False
    return True


def _members(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()
