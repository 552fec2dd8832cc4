"""An answer of a host that many ask for at once and that may be a little old."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

SECONDS = 2.0

T = TypeVar("T")


class Recent(Generic[T]):
    """What a host said, at most two seconds old; callers that come at the same moment ask once.

    Args:
        ask: Asks the host.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._at = float("-inf")
        self._asking: asyncio.Task[T] | None = None
        self.last: T | None = None

    async def get(self) -> T:
        """The answer.

        Raises:
            OllamaMCPError: As the question does; the next caller asks again.
        """
        if self.last is not None and time.monotonic() - self._at <= SECONDS:
            return self.last
        if self._asking is None:
            self._asking = asyncio.create_task(self._asked())
            # Where every caller gave up, nobody else looks at a failure.
            self._asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        # Shielded: one caller that gives up does not take the answer from the others.
        return await asyncio.shield(self._asking)

    def forget(self) -> None:
        """Ask again at the next call; what is being asked at this moment is not kept."""
        self.last = None
        self._asking = None

    async def _asked(self) -> T:
        asking = asyncio.current_task()
        try:
            answer = await self._ask()
            if self._asking is asking:
                self.last, self._at = answer, time.monotonic()
            return answer
        finally:
            if self._asking is asking:
                self._asking = None
