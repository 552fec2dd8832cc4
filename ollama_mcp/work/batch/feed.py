"""Rows on their way to those who work on them: read in a thread, a page ahead, without those that are done."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

from ollama_mcp.work.batch.rows import Row
from ollama_mcp.work.batch.threads import in_thread

if TYPE_CHECKING:
    from ollama_mcp.store import BatchRun

PAGE_ROWS = 256
# A page of long rows is shorter: two pages lie in memory at a time.
PAGE_CHARS = 2_000_000


class Feed:
    """Gives out rows, each once; used by several lanes at once.

    Args:
        rows: All rows in order; iterated in threads.
        run: Knows which of them are done.
        last: Number of the last row that counts.
        size: Rows that are given out at a time.
        only: Numbers of the rows that count, whether they are done or not; None takes those that are not.
    """

    def __init__(
        self, rows: Iterator[Row], run: BatchRun, last: int, size: int, only: Container[int] | None = None
    ) -> None:
        self._rows, self._run, self._last, self._size, self._only = rows, run, last, size, only
        self._waiting: deque[Row] = deque()
        self._ahead: asyncio.Task[list[Row] | None] | None = None
        self._turn = asyncio.Lock()

    async def next(self) -> list[Row]:
        """The next rows to work on; none at the end."""
        async with self._turn:
            while not self._waiting:
                page = await (self._ahead or self._page())
                if page is None:
                    self._ahead = None
                    return []
                self._waiting.extend(page)
                self._ahead = asyncio.create_task(self._page())
            return [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]

    async def aclose(self) -> None:
        """Wait until nothing reads any more, so that the file can be closed."""
        if self._ahead is not None:
            await asyncio.gather(self._ahead, return_exceptions=True)

    async def _page(self) -> list[Row] | None:
        """What is to be done of the next page; None at the end."""
        page = await in_thread(lambda _: take_page(self._rows, self._last))
        if not page:
            return None
        if self._only is not None:
            return [row for row in page if row.number in self._only]
        missing = set(await self._run.missing(page[0].number, page[-1].number))
        return [row for row in page if row.number in missing]


def take_page(rows: Iterator[Row], last: int) -> list[Row]:
    """The next rows up to a last one, as many as are held at a time; none at the end."""
    page: list[Row] = []
    chars = 0
    for row in rows:
        page.append(row)
        chars += row.chars
        if row.number >= last or len(page) >= PAGE_ROWS or chars >= PAGE_CHARS:
            break
    return page if not page or page[0].number <= last else []
