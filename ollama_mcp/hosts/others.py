"""What other processes with the same store said last of a host that they use too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OtherProcesses:
    """The others that are alive and use the host.

    Attributes:
        number: How many there are.
        sent: Their requests that the host works on, by model key.
        seconds: Seconds of work for a request as they measured it, by model key.
        answered_at: When each model last answered one of them, on this process's monotonic clock, by model key.
    """

    number: int
    sent: Mapping[str, int]
    seconds: Mapping[str, float]
    answered_at: Mapping[str, float]
