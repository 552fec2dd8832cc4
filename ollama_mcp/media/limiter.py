"""Limits how much images and documents may take of the machine: two at a time, or one heavy image alone."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

# One unit of decoding takes at most half of the memory that one heavy image may take alone.
SLOTS = 2

Result = TypeVar("Result")


class CapacityLimiter:
    """Runs work in threads, in order of arrival, at most `SLOTS` units at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._slots = asyncio.Semaphore(SLOTS)

    async def run(self, work: Callable[[], Result], units: int = 1) -> Result:
        """Run `work` in a thread once `units` of the slots are free, and return its result.

        A thread cannot be stopped: when the caller is cancelled, its units stay taken until the work has ended.
        """
        await self._acquire(units)
        done = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(_executor(), work))
        done.add_done_callback(lambda future: self._on_done(future, units))
        return await asyncio.shield(done)

    async def _acquire(self, units: int) -> None:
        taken = 0
        try:
            # Only the holder of the lock waits for units, so that light work cannot overtake heavy work for ever.
            async with self._turn:
                while taken < units:
                    await self._slots.acquire()
                    taken += 1
        except BaseException:
            self._release(taken)
            raise

    def _on_done(self, future: asyncio.Future[Result], units: int) -> None:
        self._release(units)
        # Retrieved, or asyncio logs an error of work whose caller was cancelled.
        if not future.cancelled():
            future.exception()

    def _release(self, units: int) -> None:
        for _ in range(units):
            self._slots.release()


@cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(SLOTS, thread_name_prefix="media")


_limiters: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, CapacityLimiter] = weakref.WeakKeyDictionary()


def shared_limiter() -> CapacityLimiter:
    """Return the limiter of the running event loop, which all calls of a server share."""
    return _limiters.setdefault(asyncio.get_running_loop(), CapacityLimiter())
