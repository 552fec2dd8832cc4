"""What the ranges of a worker share: its requests at a time, and the process, which one may need for itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ollama_mcp.work.batch.processors import RowOutcome, RowProcessor
    from ollama_mcp.work.batch.rows import InputRow


class Lanes:
    """So many requests at a time, whichever range they are of.

    Args:
        number: How many.

    Attributes:
        number: How many.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._free = asyncio.Semaphore(number)
        self._closed = False
        self._in_use = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def take(self) -> None:
        """Wait for a lane, which is `leave`d later; once they are closed nobody gets one, however long it waits."""
        await self._free.acquire()
        if self._closed:
            # Held for ever: whoever waits behind would get none either.
            await asyncio.Event().wait()
        self._in_use += 1
        self._idle.clear()

    def leave(self) -> None:
        """Let another have the lane."""
        self._in_use -= 1
        if not self._in_use:
            self._idle.set()
        self._free.release()

    async def close(self, seconds: float) -> None:
        """Begin nothing new, and wait some seconds for what has begun."""
        self._closed = True
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return


class ProcessLock:
    """Several hold the process, or one alone; who waits to be alone comes before those that came later."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._sharing = 0
        self._waiting = 0
        self._alone = False

    @asynccontextmanager
    async def hold(self, *, alone: bool) -> AsyncGenerator[None]:
        """Hold it with others, or alone."""
        async with self._changed:
            self._waiting += alone
            try:
                await self._changed.wait_for(
                    lambda: not self._alone and not (self._sharing if alone else self._waiting)
                )
            finally:
                self._waiting -= alone
                self._changed.notify_all()
            self._alone = alone
            self._sharing += not alone
        try:
            yield
        finally:
            async with self._changed:
                self._alone = False
                self._sharing -= not alone
                self._changed.notify_all()


class SharedProcessor:
    """A processor whose requests take the lanes of the process; see `RowProcessor`.

    Args:
        inner: Works on rows.
        lanes: The lanes.
        before: Awaited before each row, where they are asked one by one.

    Attributes:
        busy: For how many seconds lanes were held, all of them together.
    """

    def __init__(
        self, inner: RowProcessor, lanes: Lanes, before: Callable[[InputRow], Awaitable[None]] | None = None
    ) -> None:
        self._inner, self._lanes, self._before = inner, lanes, before
        self.model = inner.model
        self.busy = 0.0

    @property
    def notes(self) -> list[str]:
        """See `RowProcessor`."""
        return self._inner.notes

    @property
    def rows_per_request(self) -> int:
        """See `RowProcessor`."""
        return self._inner.rows_per_request if self._before is None else 1

    async def process(self, rows: Sequence[InputRow]) -> list[RowOutcome]:
        """See `RowProcessor`."""
        await self._lanes.take()
        began = time.monotonic()
        try:
            if self._before is not None:
                await self._before(rows[0])
            return await self._inner.process(rows)
        finally:
            self.busy += time.monotonic() - began
            self._lanes.leave()
