"""How long known clients wait for a call, so that long work can be handed over as a job before they give up.

Seconds and habits as the clients' documentation, sources and issue trackers had them in autumn 2026; where these
differ, the shortest counts.
"""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN_SECONDS = 50.0
MARGIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Clock:
    """When a client gives a call up.

    Args:
        seconds: From the call's start, or from its last progress.
        progress_resets: Whether progress starts the clock anew.
    """

    seconds: float
    progress_resets: bool = False


# By the beginning of clientInfo.name, in lower case.
CLOCKS = {
    "claude-ai": Clock(60),
    "claude-code": Clock(60, progress_resets=True),
    "codex": Clock(60),
    "cursor": Clock(60),
    "opencode": Clock(60, progress_resets=True),
}


def patience(client: str, *, has_progress: bool) -> float | None:
    """Seconds after which a call of this client should have its answer; None where it may take as long as it likes.

    Args:
        client: The client's name as it gave it.
        has_progress: Whether the call carries a progress token.
    """
    clock = next((clock for name, clock in CLOCKS.items() if client.lower().startswith(name)), None)
    if clock is None:
        return UNKNOWN_SECONDS
    return None if clock.progress_resets and has_progress else clock.seconds - MARGIN_SECONDS
