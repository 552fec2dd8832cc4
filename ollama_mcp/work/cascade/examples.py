"""Labelled examples: the rows of a table beside their right answers, which no model gets to see."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from threading import Event
from typing import Any, cast

from ollama_mcp.access.quoting import shortened
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.comparison import comparable
from ollama_mcp.work.batch.rows import InputRow, RowSource
from ollama_mcp.work.decide import ClosedQuestion

EXPECTED = "expected"
_YES_NO = {"true": "yes", "1": "yes", "false": "no", "0": "no"}


class SomeRows:
    """Some rows of a source, with the numbers that they have there."""

    def __init__(self, source: RowSource, numbers: Container[int]) -> None:
        self._source, self._numbers = source, numbers
        self.label, self.fingerprint = source.label, source.fingerprint
        self.columns, self.is_table = source.columns, source.is_table
        self.from_files, self.notes = source.from_files, source.notes

    def rows(self) -> Iterator[InputRow]:
        """See `RowSource`."""
        return (row for row in self._source.rows() if row.number in self._numbers)

    def check_unchanged(self) -> None:
        """See `RowSource`."""
        self._source.check_unchanged()

    def close(self) -> None:
        """See `RowSource`; the source itself is closed by who opened it."""


class Examples(SomeRows):
    """The rows of a table without their columns `expected` and `expected.QUESTION`.

    Args:
        source: The table.
        questions: The questions, whose right answers it has.

    Raises:
        InvalidArgument: It has no such column.
    """

    def __init__(self, source: RowSource, questions: Sequence[ClosedQuestion]) -> None:
        super().__init__(source, range(1 << 62))
        self._questions = questions
        self.columns = [column for column in source.columns if not _is_label(column)]
        # Other rows than those of a batch over the same file.
        self.fingerprint = f"{source.fingerprint}\n{EXPECTED}"
        if len(self.columns) == len(source.columns):
            raise InvalidArgument(
                f"{source.label} has no column {EXPECTED}.",
                next_step=f"Give each example its right answer in a column {EXPECTED} (of several questions: "
                f"{EXPECTED}.NAME), or leave examples out: the last model's answers then stand in for labels.",
            )

    def rows(self) -> Iterator[InputRow]:
        """See `RowSource`."""
        return map(_without_labels, self._source.rows())

    def labels(self, cancelled: Event) -> tuple[dict[int, dict[str, str]], list[str]]:
        """The right answers by row and question, of each row that is another one, and notes about the others.

        Raises:
            InvalidArgument: A right answer is none of the question's.
        """
        found: dict[int, dict[str, str]] = {}
        seen: dict[bytes, int] = {}
        repeated = contradicting = unusable = 0
        for given in takewhile(lambda _: not cancelled.is_set(), self._source.rows()):
            row = _without_labels(given)
            if row.problem:
                unusable += 1
                continue
            own = {question.name: label for question in self._questions if (label := _label(given, question))}
            content = hashlib.sha256(json.dumps(row.columns, sort_keys=True).encode()).digest()
            if (first := seen.setdefault(content, row.number)) != row.number:
                repeated += 1
                contradicting += found[first] != own
                continue
            found[row.number] = own
        notes = [f"{repeated:,} examples repeat others and do not count."] if repeated else []
        notes += [f"{contradicting:,} of them have another label than before."] if contradicting else []
        notes += [f"{unusable:,} examples cannot be used."] if unusable else []
        return found, [*notes, *self._one_sided(found)]

    def _one_sided(self, found: Mapping[int, Mapping[str, str]]) -> list[str]:
        notes: list[str] = []
        for question in self._questions:
            counts = Counter(own[question.name] for own in found.values() if question.name in own)
            if len(counts) == 1:
                name, label = shortened(question.name, 60), shortened(next(iter(counts)), 40)
                notes.append(f"All examples of {name!r} are {label!r}: they say nothing of other answers.")
        return notes


def _is_label(column: str) -> bool:
    return column == EXPECTED or column.startswith(f"{EXPECTED}.")


def _without_labels(row: InputRow) -> InputRow:
    return replace(row, columns={name: value for name, value in row.columns.items() if not _is_label(name)})


def _label(row: InputRow, question: ClosedQuestion) -> str:
    """The right answer to a question; "" where the row has none."""
    value: Any = row.columns.get(f"{EXPECTED}.{question.name}")
    if value is None:
        value = row.columns.get(EXPECTED)
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = _parsed(value)
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get(question.name)
    if value is None or not str(value).strip():
        return ""
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    if (option := _option(text, question)) is None:
        options = ", ".join(shortened(option, 40) for option in list(question.options)[:12])
        raise InvalidArgument(
            f"Example {row.number} expects {shortened(text, 60)!r}, which is no answer to "
            f"{shortened(question.name, 60)!r}.",
            next_step=f"Its answers are: {options}.",
        )
    return option


def _option(text: str, question: ClosedQuestion) -> str | None:
    wanted = comparable(text).casefold()
    if question.type == "yes_no":
        wanted = _YES_NO.get(wanted, wanted)
    return next((option for option in question.options if comparable(option).casefold() == wanted), None)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
