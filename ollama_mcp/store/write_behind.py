"""Writing some moments later, so that what happens often costs the disk little."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

SECONDS = 2.0


class WriteBehind:
    """Calls `write` a few seconds after the first change.

    Args:
        write: Writes all that has gathered; never fails.
    """

    def __init__(self, write: Callable[[], Awaitable[None]]) -> None:
        self._write = write
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """Say that there is something to write; in the event loop, and quick."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SECONDS, self._begin)

    async def now(self) -> None:
        """Write at once what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            await asyncio.wait({self._task})
        await self._write()

    def _begin(self) -> None:
        self._timer = None
        self._task = asyncio.ensure_future(self._write())
