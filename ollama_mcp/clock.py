"""The time of day: by this machine's clock, or by that of the database that processes of several machines share."""

from __future__ import annotations

import time

_ahead = 0.0


def now() -> float:
    """Seconds since 1970."""
    return time.time() + _ahead


def ahead() -> float:
    """By how many seconds the other clock is ahead of this machine's."""
    return _ahead


def follow(there: float) -> None:
    """Go by another clock from now on.

    Args:
        there: What it says now.
    """
    global _ahead
    _ahead = there - time.time()
