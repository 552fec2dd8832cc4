"""How long known clients wait for the answer to a call, so that long work becomes a job before they give up.

Values from the clients' documentation, sources and issue trackers, autumn 2026; where these differ, the shortest.
"""

from __future__ import annotations

from dataclasses import dataclass

# Below the 60 s that most clients allow by default.
UNKNOWN_SECONDS = 50.0
# So that the answer arrives before the client gives up.
MARGIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ClientTimeout:
    """When a client gives up on a call.

    Args:
        seconds: Counted from the start of the call, or from its last progress notification.
        progress_resets: Whether a progress notification restarts the count.
    """

    seconds: float
    progress_resets: bool = False


# By the lower-case start of clientInfo.name: clients append an edition to it ("cursor-vscode").
CLIENT_TIMEOUTS = {
    "claude-ai": ClientTimeout(60),
    "claude-code": ClientTimeout(60, progress_resets=True),
    "codex": ClientTimeout(60),
    "cursor": ClientTimeout(60),
    "opencode": ClientTimeout(60, progress_resets=True),
}


def answer_deadline(client: str, *, has_progress: bool) -> float | None:
    """Seconds after which a call of this client should be answered; None where there is no limit.

    Args:
        client: The client's name, from its clientInfo.
        has_progress: Whether the call carries a progress token.
    """
    timeout = next((timeout for name, timeout in CLIENT_TIMEOUTS.items() if client.lower().startswith(name)), None)
    if timeout is None:
        return UNKNOWN_SECONDS
    return None if timeout.progress_resets and has_progress else timeout.seconds - MARGIN_SECONDS
