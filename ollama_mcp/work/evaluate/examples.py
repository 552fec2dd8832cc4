"""The examples of an evaluation: rows with what is expected of them, held in memory in a random order."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.comparison import comparable
from ollama_mcp.work.batch.rows import InputRow, RowSource
from ollama_mcp.work.batch.sources import open_source
from ollama_mcp.work.evaluate.metrics import as_text, normalised
from ollama_mcp.work.progress import counted
from ollama_mcp.work.threads import close_in_thread, run_in_thread

if TYPE_CHECKING:
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.evaluate.metrics import Metric

EXPECTED = "expected"
# All are in memory, since they are asked about in another order than that of the file.
MAX_EXAMPLES, MAX_CHARS = 10_000, 50_000_000
_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
_SHOWN_ROWS = 5
# Shorter texts may stand in a prompt by chance.
_LEAST_COPIED_CHARS = 12


@dataclass(frozen=True, slots=True)
class Example:
    """An example.

    Args:
        row: Its place in the file, counted from 1.
        columns: What a template may name.
        expected: What is expected.
    """

    row: int
    columns: dict[str, Any]
    expected: Any


@dataclass(slots=True)
class Examples:
    """The examples as the rows of a batch, without what is expected: row n is the nth in a random order.

    The order is always the same for the same examples. A file may be sorted; the first of a random order stand for all.
    """

    label: str
    columns: Sequence[str]
    examples: list[Example]
    notes: list[str] = field(default_factory=list[str])
    fingerprint: str = ""
    is_table: bool = True
    from_files: bool = True

    def shuffle(self) -> None:
        """Put the examples into their order; to be called once those that are not used are gone."""
        digest = hashlib.sha256()
        for example in self.examples:
            digest.update(json.dumps([example.row, example.columns], sort_keys=True).encode())
        # What is expected is left out: to correct it, no model has to be asked again.
        self.fingerprint = digest.hexdigest()
        random.Random(self.fingerprint).shuffle(self.examples)

    def rows(self) -> Iterator[InputRow]:
        """See `RowSource`."""
        for number, example in enumerate(self.examples, start=1):
            yield InputRow(number, {"row": example.row}, example.columns)

    def check_unchanged(self) -> None:
        """See `RowSource`: what is in memory does not change."""

    def close(self) -> None:
        """See `RowSource`."""

    def keep(self, kept: Sequence[Example], why: str) -> None:
        """Leave out all examples but these, and say so with the rows of the file."""
        numbers = {example.row for example in kept}
        left = [example.row for example in self.examples if example.row not in numbers]
        if left:
            self.notes.append(f"{counted(len(left), 'example')} left out, {why}: {rows_of(left)}.")
        self.examples = list(kept)


async def read_examples(call: CallContext, path: str) -> Examples:
    """Read the examples of a file, without those that cannot be used, in the order of the file.

    Raises:
        InvalidArgument: It is no such file, has no column `expected`, or too many rows.
        OllamaMCPError: It cannot be read.
    """
    if os.path.splitext(path.strip())[1].lower() not in _SUFFIXES:
        raise InvalidArgument(
            f"examples is {quoted(path, 60)}, but must be one file that ends in .csv or .jsonl.",
            next_step="Give a file whose rows have the input and a column `expected`.",
        )
    source = await open_source(call, [path], None)
    try:
        examples, unusable = await run_in_thread(lambda _: _read(source))
    finally:
        await close_in_thread(source)
    if unusable:
        first, why = unusable[0]
        examples.notes.append(
            f"{counted(len(unusable), 'row')} cannot be used: {rows_of([row for row, _ in unusable])}. "
            f"Row {first}: {why}."
        )
    if not examples.examples:
        raise InvalidArgument(
            f"{examples.label} has no example that can be used.",
            next_step=examples.notes[0] if examples.notes else "Give rows with an input and `expected`.",
        )
    await asyncio.to_thread(_leave_out_duplicates, examples)
    return examples


def _read(source: RowSource) -> tuple[Examples, list[tuple[int, str]]]:
    if EXPECTED not in source.columns:
        names = ", ".join(source.columns[:12])
        raise InvalidArgument(
            f"{source.label} has no column {EXPECTED!r}.",
            next_step=f"Name the column with the right answers {EXPECTED!r}; it has: {names[:160]}.",
        )
    inputs = [name for name in source.columns if name != EXPECTED]
    if not inputs:
        raise InvalidArgument(
            f"{source.label} has no column but {EXPECTED!r}.", next_step="Add one with the input, such as 'text'."
        )
    examples = Examples(source.label, inputs, [], list(source.notes))
    unusable: list[tuple[int, str]] = []
    chars = 0
    for row in source.rows():
        expected = row.columns.get(EXPECTED)
        if problem := row.problem or (
            "nothing is expected" if expected is None or not as_text(expected).strip() else ""
        ):
            unusable.append((row.number, problem))
            continue
        columns = {name: value for name, value in row.columns.items() if name != EXPECTED}
        examples.examples.append(Example(row.number, columns, expected))
        chars += row.chars
        if len(examples.examples) > MAX_EXAMPLES or chars > MAX_CHARS:
            raise InvalidArgument(
                f"{source.label} has more than {MAX_EXAMPLES:,} examples or {MAX_CHARS:,} characters.",
                next_step="Give some of them, drawn at random.",
            )
    return examples, unusable


def _leave_out_duplicates(examples: Examples) -> None:
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in examples.examples:
        groups[comparable(json.dumps(example.columns, sort_keys=True, ensure_ascii=False))].append(example)
    clear = [group for group in groups.values() if len({normalised(one.expected) for one in group}) == 1]
    if not clear:
        raise InvalidArgument(
            f"{examples.label} has each input several times with different `expected`.",
            next_step="Keep one row of each input.",
        )
    consistent = [example for group in clear for example in group]
    examples.keep(sorted(consistent, key=_row), "since the same input is expected to give different answers")
    examples.keep(sorted((group[0] for group in clear), key=_row), "since they repeat another row")


def leave_out_copied(examples: Examples, *texts: str) -> None:
    """Leave out examples whose input stands in the prompt itself: their answers would show memory, not skill.

    Raises:
        InvalidArgument: All of them do.
    """
    prompt = comparable(" ".join(texts)).casefold()
    kept = [example for example in examples.examples if not _is_copied(example, prompt)]
    if not kept:
        raise InvalidArgument(
            "All examples stand in the prompt itself.", next_step="Give other examples than those of the prompt."
        )
    examples.keep(kept, "since their input stands in the prompt")


def _is_copied(example: Example, prompt: str) -> bool:
    values = [comparable(as_text(value)).casefold() for value in example.columns.values()]
    longest = max(values, key=len, default="")
    return len(longest) >= _LEAST_COPIED_CHARS and longest in prompt


def check_expected(examples: Examples, metric: Metric) -> None:
    """Check that what is expected can be compared, and that there is more than one answer to find.

    Raises:
        InvalidArgument: It names the rows, or the one answer.
    """
    wrong = [(example.row, why) for example in examples.examples if (why := metric.check(example.expected))]
    if wrong:
        row, why = wrong[0]
        more = f" ({counted(len(wrong), 'row')} such: {rows_of([one for one, _ in wrong])})" if len(wrong) > 1 else ""
        raise InvalidArgument(
            f"Row {row} of {examples.label} has an `expected` that no answer can meet: {why}{more}.",
            next_step="Correct it, or give another metric or other questions.",
        )
    forms = {normalised(example.expected) for example in examples.examples}
    # A pattern may be the same for all rows, and so may what a judge looks for.
    if len(forms) == 1 and len(examples.examples) > 1 and metric.name in ("exact", "normalised", "label", "fields"):
        raise InvalidArgument(
            f"All {len(examples.examples):,} examples expect the same answer: what always says so would be right.",
            next_step="Add examples that expect other answers.",
        )


def rows_of(rows: Sequence[int]) -> str:
    """Rows by number, as words."""
    shown = ", ".join(map(str, rows[:_SHOWN_ROWS]))
    return f"row {shown}" + (f" and {len(rows) - _SHOWN_ROWS:,} more" if len(rows) > _SHOWN_ROWS else "")


def _row(example: Example) -> int:
    return example.row
