"""Which processes that own jobs have ended, or show no sign of life, by the clock of whoever watches them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ollama_mcp.store.jobs import JobOwner

# An owner whose heartbeat does not change for that long has lost its jobs.
LEASE_SECONDS = 15.0


class Leases:
    """What one process has seen of the heartbeats of others."""

    def __init__(self) -> None:
        self._beats: dict[str, tuple[int, float]] = {}

    def is_over(self, name: str, owners: Mapping[str, JobOwner | None]) -> bool:
        """Whether an owner has ended, or shows no sign of life for a while; `owners` is as just read."""
        owner = owners.get(name)
        if owner is None or owner.has_ended:
            return True
        now = time.monotonic()
        beats, since = self._beats.get(name, (-1, now))
        if beats != owner.beats:
            beats, since = owner.beats, now
        self._beats[name] = (beats, since)
        return now - since > LEASE_SECONDS

    def begin_anew(self) -> None:
        """Forget all: nobody could give a sign of life meanwhile."""
        self._beats.clear()
