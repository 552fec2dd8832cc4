"""The client that makes a call: how long it waits for the answer, and whose jobs it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL, LOCAL

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

    from ollama_mcp.settings import Settings

# The owner of all jobs over stdio, where there is one client.
EVERYBODY = "everybody"

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


# From the clients' documentation, sources and issue trackers, autumn 2026; where these differ, the shortest.
# By the lower-case start of clientInfo.name: clients append an edition to it ("cursor-vscode").
CLIENT_TIMEOUTS = {
    "claude-ai": ClientTimeout(60),
    "claude-code": ClientTimeout(60, progress_resets=True),
    "codex": ClientTimeout(60),
    "cursor": ClientTimeout(60),
    "opencode": ClientTimeout(60, progress_resets=True),
}

# Where a client cuts a result, in bytes or characters of it (no character takes less than a byte); seen in the clients.
CLIENT_RESULT_BYTES = {
    "codex-mcp-client": 10_000,
    "@cline/core": 8_000,
    "cline": 8_000,
}
# For what the client writes around a result before it measures it.
MARGIN_BYTES = 500


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


@dataclass(frozen=True, slots=True)
class Caller:
    """The client of one call.

    Args:
        owner: Whose jobs it sees; None for a client that cannot be told from another, which knows a job by its id only.
        patience: Seconds after which long work should be handed over as a job; None waits.
        result_bytes: Bytes of JSON that a result may have; None for no limit.
        client: The name and version that it gives itself, or "".
        principal: Whose token it has, else LOCAL.
    """

    owner: str | None = EVERYBODY
    patience: float | None = None
    result_bytes: int | None = None
    client: str = ""
    principal: str = LOCAL

    @property
    def identity(self) -> str:
        """Who asks, as well as that is known: without a session only the client's own name tells it from others."""
        return self.owner or f"client {self.client}"


def caller_of(context: Context[None, Any] | None, settings: Settings, *, has_progress: bool) -> Caller:
    """The client behind a call; a call without a context is made by this process itself, which waits."""
    if context is None:
        return Caller()
    params = context.session.client_params
    name = params.client_info.name if params is not None else ""
    client = f"{name} {params.client_info.version}" if params is not None else ""
    seconds = settings.jobs.call_seconds or answer_deadline(name, has_progress=has_progress)
    owner = EVERYBODY if settings.transport == "stdio" else _owner(context)
    most = settings.limits.answer_chars
    cuts_at = next((size for start, size in CLIENT_RESULT_BYTES.items() if name.lower().startswith(start)), None)
    principal = CURRENT_PRINCIPAL.get()
    return Caller(
        owner,
        seconds,
        most if cuts_at is None else min(most, cuts_at - MARGIN_BYTES),
        client,
        LOCAL if principal is None else principal.name,
    )


def _owner(context: Context[None, Any]) -> str | None:
    """Over HTTP: the name of the token, else the session, which has a secret id."""
    if (principal := CURRENT_PRINCIPAL.get()) is not None:
        return f"token {principal.name}"
    request = context.request_context.request
    if request is None:
        return None
    session = request.headers.get("mcp-session-id") or request.query_params.get("session_id")
    return f"session {session}" if session else None
