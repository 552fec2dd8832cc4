"""The rows of a batch: an input row, where rows come from, and the record of what a row came to."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from ollama_mcp.errors import DiskError, OllamaMCPError

# Deeper JSON can be parsed, but not be encoded again inside another value, and a record that cannot be written would
# end the whole batch.
MAX_JSON_DEPTH = 100


class InputChanged(DiskError):
    """The input differs from what the finished rows were made of: the same call finds none of them."""


@dataclass(frozen=True, slots=True)
class InputRow:
    """One row of the input.

    Args:
        number: Its place, counted from 1; the same whenever the same input is read.
        location: Where it comes from: a line, a path, the lines of a chunk. Never its content.
        columns: What a template may name; a text has the one column "text". A file has it only once it is read.
        problem: Why the row cannot be used; "" where it can.
    """

    number: int
    location: dict[str, Any] = field(default_factory=dict[str, Any])
    columns: dict[str, Any] = field(default_factory=dict[str, Any])
    problem: str = ""

    @property
    def text(self) -> str:
        """The whole row: the text, or all columns as JSON."""
        text = self.columns.get("text")
        return text if isinstance(text, str) else json.dumps(self.columns, ensure_ascii=False)

    @property
    def chars(self) -> int:
        """About how many characters it holds."""
        return sum(len(value) if isinstance(value, str) else 16 for value in self.columns.values())


class RowSource(Protocol):
    """Where rows come from. The methods read from the disk, so they are called in threads."""

    @property
    def label(self) -> str:
        """What messages call it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever the input does; part of the key of the checkpoint."""
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
        """What should be known about its content, such as files that may not be read."""
        ...

    def rows(self) -> Iterator[InputRow]:
        """All rows from the beginning; one iteration at a time."""
        ...

    def check_unchanged(self) -> None:
        """Check that the input is still what it was when it was opened.

        Raises:
            InputChanged: It is not.
        """
        ...

    def close(self) -> None:
        """Release resources."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """What a row came to, as the checkpoint keeps it.

    Args:
        output: The model's text, the value of a format or the verdicts; None where there is an error.
        notes: What should be known about the answer.
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
        """As JSON, without empty members."""
        # The names are in stores of earlier versions too: they stay.
        members = {
            "output": self.output,
            "notes": list(self.notes),
            "prompt_tokens": self.prompt_tokens,
            "tokens": self.tokens,
            "kind": self.kind,
            "message": self.message,
        }
        return json.dumps({name: value for name, value in members.items() if value or name == "output"}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """The record of `encode`."""
        members: dict[str, Any] = json.loads(data)
        members["notes"] = tuple(members.get("notes", ()))
        return cls(**members)

    @classmethod
    def from_error(cls, error: OllamaMCPError) -> Record:
        """The record of a failure; what the model wrote before it is not kept."""
        return cls(kind=error.kind, message=str(error)[:400])


def exceeds_max_depth(value: Any) -> bool:
    """Tell whether a JSON value is nested deeper than `MAX_JSON_DEPTH` levels."""
    # Level by level: a recursive walk would itself fail on what it looks for.
    level: list[Any] = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [member for item in level for member in _members(item)]
        if not level:
            return False
    return True


def _members(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()
