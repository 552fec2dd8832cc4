"""How many rows were done when: rows per second over the time of a call, in a bounded number of intervals."""

from __future__ import annotations

import time
from collections.abc import Callable

_INTERVALS = 120
_FIRST_WIDTH = 0.25


class Pace:
    """Counts rows by intervals, which grow to twice their width whenever there would be too many of them.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began, self._width = clock, clock(), _FIRST_WIDTH
        self._counts: list[int] = []

    def add(self) -> None:
        """Count a row that is done now."""
        while (place := int((self._clock() - self._began) / self._width)) >= _INTERVALS:
            counts = [*self._counts, 0] if len(self._counts) % 2 else self._counts
            self._counts = [one + other for one, other in zip(counts[::2], counts[1::2], strict=True)]
            self._width *= 2
        self._counts += [0] * (place + 1 - len(self._counts))
        self._counts[place] += 1

    def rates(self) -> list[tuple[float, float]]:
        """The middle of each interval in seconds, and its rows per second; without the last one, which is not over."""
        counts = self._counts[:-1]
        return [((place + 0.5) * self._width, count / self._width) for place, count in enumerate(counts)]
