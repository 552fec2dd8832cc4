"""Progress notifications as a client gets them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Notes:
    """Collects notifications; `until` waits for one."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float | None, str]] = []
        self._arrived = asyncio.Event()

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.seen.append((progress, total, message or ""))
        self._arrived.set()

    @property
    def messages(self) -> list[str]:
        return [message for _, _, message in self.seen]

    def check(self) -> None:
        """What holds for all progress: it grows, stays within its total, and fits a host's row."""
        values = [value for value, _, _ in self.seen]
        assert values == sorted(set(values))
        assert all(total is None or total >= value for value, total, _ in self.seen)
        assert all(len(message) < 200 and "\n" not in message for message in self.messages)

    async def until(self, fits: Callable[[str], bool]) -> str:
        """The first message that fits, once it has come."""
        async with asyncio.timeout(10):
            while not (found := [message for message in self.messages if fits(message)]):
                self._arrived.clear()
                await self._arrived.wait()
        return found[0]
