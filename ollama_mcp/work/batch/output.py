"""Writing the output of a batch: all rows in the order of the input, from the checkpoint into the file."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from ollama_mcp.errors import DiskError, InternalError
from ollama_mcp.work.batch.output_formats import CsvFormat, JsonlFormat, NpyFormat, OutputFormat, as_object
from ollama_mcp.work.batch.rows import InputRow, Record, RowSource
from ollama_mcp.work.batch.spec import BatchSpec
from ollama_mcp.work.threads import run_in_thread

if TYPE_CHECKING:
    from ollama_mcp.access import Output
    from ollama_mcp.store.batches import RowResult

_MAX_SAMPLES = 3
_CONFIDENCE_NOTE = (
    "confidence: how concentrated the probabilities are, from 0 (even) to 1 (all on one option), not how likely the "
    "answer is right."
)
_MAX_NOTED = 10
_PAGE_ROWS = 500
Observe = Callable[[Record], None]


@dataclass
class BatchTotals:
    """Counts over all rows of a batch, and examples of them.

    Args:
        rows: Rows in all.
        failed: Rows with an error.
        noted: Rows whose records have notes.
        first_noted: The numbers of the first of them, and the note of the very first.
        kinds: For each kind of error, how many rows have it and the message of the first.
        samples: The first rows that succeeded; without a file all rows.
        notes: What should be known about the content of the file.
    """

    rows: int = 0
    failed: int = 0
    noted: int = 0
    first_noted: tuple[list[int], str] = field(default_factory=lambda: (list[int](), ""))
    kinds: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    samples: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    notes: list[str] = field(default_factory=list[str])

    def add(self, row: InputRow, result: Record | bytes, *, all_rows: bool) -> None:
        """Count a row."""
        self.rows += 1
        if isinstance(result, Record) and result.kind:
            self.failed += 1
            count, message = self.kinds.get(result.kind, (0, result.message))
            self.kinds[result.kind] = count + 1, message
        elif isinstance(result, Record) and result.notes:
            self.noted += 1
            numbers, note = self.first_noted
            if len(numbers) < _MAX_NOTED:
                self.first_noted = [*numbers, row.number], note or result.notes[0]
        if all_rows or (len(self.samples) < _MAX_SAMPLES and isinstance(result, Record) and not result.kind):
            self.samples.append(as_object(row, result, columns=False))


class Results(Protocol):
    """Gives the results of all rows: a checkpoint, or what is made of several."""

    def records(self) -> AsyncGenerator[RowResult]:
        """All results in the order of their rows."""
        ...


class OutputWriter:
    """Writes the rows of a finished batch, in one pass.

    Args:
        spec: The arguments of the batch.
        source: The rows; read again for the columns beside the results.
        run: The results, such as a checkpoint.
        last: Number of the last row that counts.
        observe: Is given each result, in a thread.
    """

    def __init__(
        self, spec: BatchSpec, source: RowSource, run: Results, last: int, observe: Observe | None = None
    ) -> None:
        self._spec, self._source, self._run, self._last = spec, source, run, last
        self._observe = observe

    async def write(self, output: Output | None) -> BatchTotals:
        """Write the file; without one, only count the rows.

        Raises:
            DiskError: It cannot be written, or the input changed meanwhile; nothing of it is left.
        """
        loop = asyncio.get_running_loop()
        output_format = await self._choose_format()
        totals = BatchTotals()

        # The store is read in the event loop, the file is written in a thread, a page while the next is read: memory
        # stays flat for a million rows.
        def next_page() -> list[RowResult]:
            nonlocal ahead
            page = ahead.result()
            ahead = asyncio.run_coroutine_threadsafe(_read_page(records), loop)
            return page

        def encode_and_write(cancelled: Event) -> None:
            chunks = self._chunks(output_format, totals, next_page, cancelled, show_all=output is None)
            if output is not None:
                output.write(chunks)
            else:
                # Runs the generator, which counts, and keeps nothing.
                deque(chunks, maxlen=0)

        async with aclosing(self._run.records()) as records:
            ahead = asyncio.run_coroutine_threadsafe(_read_page(records), loop)
            try:
                await run_in_thread(encode_and_write)
            finally:
                # What is being read cannot be closed.
                await asyncio.gather(asyncio.wrap_future(ahead), return_exceptions=True)
        totals.notes += output_format.notes if output is not None else []
        if self._spec.questions and any(_has_confidence(sample) for sample in totals.samples):
            totals.notes.append(_CONFIDENCE_NOTE)
        return totals

    def _chunks(
        self,
        output_format: OutputFormat,
        totals: BatchTotals,
        next_page: Callable[[], list[RowResult]],
        cancelled: Event,
        *,
        show_all: bool,
    ) -> Iterator[bytes]:
        yield output_format.header()
        rows = islice(self._source.rows(), self._last)
        # Earlier calls without a limit, or with a larger one, may have left more results than there are rows here.
        while totals.rows < self._last and (page := next_page()):
            parts: list[bytes] = []
            for result, row in zip(page, rows, strict=False):
                if row.number != result.row:
                    raise InternalError(f"Row {row.number} of {self._source.label} has no result.")
                value = self._value(result)
                totals.add(row, value, all_rows=show_all)
                if self._observe is not None and isinstance(value, Record):
                    self._observe(value)
                parts.append(output_format.encode(row, value))
            # An exception makes `output.write` drop the temporary file.
            if cancelled.is_set():
                raise DiskError("Writing was cancelled.")
            yield b"".join(parts)
        # Checked at the end: the columns beside the results were read from the source just now, in this very pass.
        self._source.check_unchanged()
        if totals.rows < self._last:
            raise InternalError(f"{self._last - totals.rows:,} rows of {self._source.label} have no result.")

    def _value(self, result: RowResult) -> Record | bytes:
        return result.record if self._spec.embed and not result.error else Record.decode(result.record)

    async def _choose_format(self) -> OutputFormat:
        path = self._spec.output.lower()
        if path.endswith(".npy"):
            return NpyFormat(self._last, await self._dimensions())
        if path.endswith(".csv"):
            return await asyncio.to_thread(CsvFormat, self._source, self._spec)
        return JsonlFormat(self._source)

    async def _dimensions(self) -> int:
        async with aclosing(self._run.records()) as records:
            async for result in records:
                if not result.error:
                    # 32-bit floats.
                    return len(result.record) // 4
        return 0


def _has_confidence(sample: dict[str, Any]) -> bool:
    verdicts: dict[str, dict[str, Any]] = sample.get("output") or {}
    return any("confidence" in verdict for verdict in verdicts.values())


async def _read_page(records: AsyncIterator[RowResult]) -> list[RowResult]:
    page: list[RowResult] = []
    async for record in records:
        page.append(record)
        if len(page) == _PAGE_ROWS:
            break
    return page
