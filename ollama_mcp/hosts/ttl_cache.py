"""A cache of one value that many callers request at once and that may be a little old."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

TTL_SECONDS = 2.0

T = TypeVar("T")


class CoalescingTTLCache(Generic[T]):
    """Keeps a fetched value for some time; concurrent callers share one fetch.

    Args:
        fetch: Gets the value.
        seconds: How long it is kept.
    """

    def __init__(self, fetch: Callable[[], Awaitable[T]], seconds: float = TTL_SECONDS) -> None:
        self._fetch = fetch
        self._seconds = seconds
        self._fetched_at = float("-inf")
        self._task: asyncio.Task[T] | None = None
        self.last: T | None = None

    async def get(self, *, usable_seconds: float = TTL_SECONDS) -> T:
        """The value, fetched where it is missing or too old.

        Args:
            usable_seconds: Up to which age a value is returned that is being fetched anew meanwhile.

        Raises:
            OllamaMCPError: As `fetch` does; the next caller fetches again.
        """
        age = time.monotonic() - self._fetched_at
        if self.last is not None and age <= self._seconds:
            return self.last
        if self._task is None:
            self._task = asyncio.create_task(self._refresh())
            # Where every caller was cancelled, nobody else retrieves a failure, which asyncio would log.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        if self.last is not None and age <= usable_seconds:
            return self.last
        # Shielded: a caller that is cancelled does not cancel the fetch for the others.
        return await asyncio.shield(self._task)

    def invalidate(self) -> None:
        """Fetch again at the next call; the result of a fetch in progress is not kept."""
        self.last = None
        self._task = None

    async def _refresh(self) -> T:
        task = asyncio.current_task()
        try:
            value = await self._fetch()
            if self._task is task:
                self.last, self._fetched_at = value, time.monotonic()
            return value
        finally:
            if self._task is task:
                self._task = None
