"""How much of the machine images may take: two at a time, and a heavy one alone."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

SLOTS = 2

Result = TypeVar("Result")


class Gate:
    """Runs work in threads, first come first served, so that at most two units of it run at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._slots = asyncio.Semaphore(SLOTS)

    async def run(self, work: Callable[[], Result], units: int = 1) -> Result:
        """Return what `work` returns, run in a thread once `units` of the two units are free.

        When the caller is cancelled, a thread cannot be stopped: its units stay taken until it has ended, so that the
        limits hold.
        """
        await self._take(units)
        done = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(_threads(), work))
        done.add_done_callback(lambda future: self._give_back(future, units))
        return await asyncio.shield(done)

    async def _take(self, units: int) -> None:
        taken = 0
        try:
            # Only who has the turn may wait for units: a heavy one cannot be overtaken by light ones for ever.
            async with self._turn:
                while taken < units:
                    await self._slots.acquire()
                    taken += 1
        except BaseException:
            self._release(taken)
            raise

    def _give_back(self, future: asyncio.Future[Result], units: int) -> None:
        self._release(units)
        # Looked at, lest asyncio reports an error that nobody waits for any more.
        if not future.cancelled():
            future.exception()

    def _release(self, units: int) -> None:
        for _ in range(units):
            self._slots.release()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(SLOTS, thread_name_prefix="media")


_gates: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Gate] = weakref.WeakKeyDictionary()


def gate() -> Gate:
    """Return the gate of the running event loop: one for the whole server, whichever calls share it."""
    return _gates.setdefault(asyncio.get_running_loop(), Gate())
