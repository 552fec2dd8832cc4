"""The end of a batch: all rows in the order of the input from the checkpoint into the file, and their sums."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import DiskError, InternalError
from ollama_mcp.work.batch.layouts import Csv, Jsonl, Layout, Npy, as_object
from ollama_mcp.work.batch.order import Order
from ollama_mcp.work.batch.rows import Record, Row, Source
from ollama_mcp.work.batch.threads import in_thread

if TYPE_CHECKING:
    from ollama_mcp.access import Output
    from ollama_mcp.store import BatchRun
    from ollama_mcp.store.runs import RowResult

SAMPLES = 3
_PAGE = 500


@dataclass
class Sums:
    """What the rows add up to.

    Args:
        rows: Rows in all.
        failed: Rows with an error.
        kinds: By kind of error how many rows have it, and the first one's words.
        samples: The first rows that succeeded, or all rows where they are few and there is no file.
        bytes: Size of the file.
        notes: What was done to the content, and how many rows have notes of their own.
    """

    rows: int = 0
    failed: int = 0
    noted: int = 0
    kinds: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    samples: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    bytes: int = 0
    notes: list[str] = field(default_factory=list[str])

    def add(self, row: Row, result: Record | bytes, *, all_rows: bool) -> None:
        """Count a row."""
        self.rows += 1
        if isinstance(result, Record) and result.kind:
            self.failed += 1
            count, words = self.kinds.get(result.kind, (0, result.message))
            self.kinds[result.kind] = count + 1, words
        elif isinstance(result, Record) and result.notes:
            self.noted += 1
        if all_rows or (len(self.samples) < SAMPLES and isinstance(result, Record) and not result.kind):
            self.samples.append(as_object(row, result, columns=False))


class Closing:
    """Goes through the rows of a finished batch once.

    Args:
        order: What was asked for.
        source: The rows; read again for what stands beside the results.
        run: What came of them.
        last: Number of the last row that counts.
    """

    def __init__(self, order: Order, source: Source, run: BatchRun, last: int) -> None:
        self._order, self._source, self._run, self._last = order, source, run, last

    async def into(self, output: Output | None) -> Sums:
        """Write the file, or without one only add up.

        Raises:
            DiskError: It cannot be written, or the input changed meanwhile; nothing of it is left.
        """
        loop = asyncio.get_running_loop()
        layout = await self._layout()
        sums = Sums()

        def more() -> list[RowResult]:
            return asyncio.run_coroutine_threadsafe(_page(records), loop).result()

        def write(given_up: Event) -> None:
            chunks = self._chunks(layout, sums, more, given_up, show_all=output is None)
            if output is not None:
                sums.bytes = output.write(chunks)
            else:
                deque(chunks, maxlen=0)

        async with aclosing(self._run.records()) as records:
            await in_thread(write)
        sums.notes += layout.notes if output is not None else []
        return sums

    def _chunks(
        self, layout: Layout, sums: Sums, more: Callable[[], list[RowResult]], given_up: Event, *, show_all: bool
    ) -> Iterator[bytes]:
        yield layout.head()
        rows = islice(self._source.rows(), self._last)
        # Earlier calls without a limit, or with a larger one, may have left more results than there are rows here.
        while sums.rows < self._last and (page := more()):
            parts: list[bytes] = []
            for result, row in zip(page, rows, strict=False):
                if row.number != result.row:
                    raise InternalError(f"Row {row.number} of {self._source.shown} has no result.")
                kept = self._result(result)
                sums.add(row, kept, all_rows=show_all)
                parts.append(layout.row(row, kept))
            if given_up.is_set():
                raise DiskError("Writing was given up.")
            yield b"".join(parts)
        # Only now is it certain that the columns beside the results are those that were worked on.
        self._source.check()
        if sums.rows < self._last:
            raise InternalError(f"{self._last - sums.rows:,} rows of {self._source.shown} have no result.")

    def _result(self, result: RowResult) -> Record | bytes:
        return result.record if self._order.embed and not result.error else Record.decode(result.record)

    async def _layout(self) -> Layout:
        path = self._order.output.lower()
        if path.endswith(".npy"):
            return Npy(self._last, await self._dimensions())
        if path.endswith(".csv"):
            return await asyncio.to_thread(Csv, self._source, self._order)
        return Jsonl(self._source)

    async def _dimensions(self) -> int:
        async with aclosing(self._run.records()) as records:
            async for result in records:
                if not result.error:
                    return len(result.record) // 4
        return 0


async def _page(records: AsyncIterator[RowResult]) -> list[RowResult]:
    page: list[RowResult] = []
    async for record in records:
        page.append(record)
        if len(page) == _PAGE:
            break
    return page
