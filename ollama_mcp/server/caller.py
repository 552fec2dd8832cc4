"""Who calls: how long it waits, and what is its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ollama_mcp.server.clocks import patience

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

    from ollama_mcp.settings import Settings

EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True)
class Caller:
    """The client of one call.

    Args:
        owner: Whose jobs it sees; None for a client that cannot be told from another, which knows a job by its id only.
        patience: Seconds after which long work should be handed over as a job; None waits.
    """

    owner: str | None = EVERYBODY
    patience: float | None = None


def caller_of(context: Context[None, Any] | None, settings: Settings, *, has_progress: bool) -> Caller:
    """The client behind a call; a call without a context is made by this process itself, which waits."""
    if context is None:
        return Caller()
    params = context.session.client_params
    name = params.client_info.name if params is not None else ""
    seconds = settings.jobs.call_seconds or patience(name, has_progress=has_progress)
    return Caller(EVERYBODY if settings.transport == "stdio" else _owner(context), seconds)


def _owner(context: Context[None, Any]) -> str | None:
    """Over HTTP: the name of the token, else the session, which has a secret id."""
    from mcp.server.auth.middleware.auth_context import get_access_token

    if (token := get_access_token()) is not None:
        return f"token {token.client_id}"
    request = context.request_context.request
    if request is None:
        return None
    session = request.headers.get("mcp-session-id") or request.query_params.get("session_id")
    return f"session {session}" if session else None
