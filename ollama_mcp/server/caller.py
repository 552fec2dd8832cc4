"""The client that makes a call: how long it waits for the answer, and whose jobs it sees."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL, LOCAL

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

    from ollama_mcp.settings import Settings
    from ollama_mcp.work.progress import Send

    RequestContext = ServerRequestContext[Any, Any]

TASKS_EXTENSION = "io.modelcontextprotocol/tasks"

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
    "gemini-cli": ClientTimeout(600),
    # The default of the SDK that they are built on.
    "qwen-cli": ClientTimeout(60),
    "copilot-cli": ClientTimeout(60),
    "@cline/core": ClientTimeout(60),
    "continue-cli": ClientTimeout(60),
}
# Claude Code passes its whole environment on to a server on stdio, and with it this limit of the user's: milliseconds
# from the start of a call, whatever progress it reports.
_TIMEOUT_VARIABLE, _TIMEOUT_CLIENT = "MCP_TOOL_TIMEOUT", "claude-code"

# Where a client cuts a result, in bytes or characters of it (no character takes less than a byte); seen in the clients.
CLIENT_RESULT_BYTES = {
    "codex-mcp-client": 10_000,
    "@cline/core": 8_000,
    "cline": 8_000,
}
# For what the client writes around a result before it measures it.
MARGIN_BYTES = 500


def answer_deadline(client: str, *, has_progress: bool, set_milliseconds: str = "") -> float | None:
    """Seconds after which a call of this client should be answered; None where there is no limit.

    Args:
        client: The client's name, from its clientInfo.
        has_progress: Whether the call carries a progress token.
        set_milliseconds: What the client's user has set as its limit, or "".
    """
    known = _known_deadline(client, has_progress=has_progress)
    if not (set_milliseconds.isdecimal() and int(set_milliseconds) and client.lower().startswith(_TIMEOUT_CLIENT)):
        return known
    seconds = int(set_milliseconds) / 1_000
    wanted = max(seconds - MARGIN_SECONDS, seconds / 2)
    return wanted if known is None else min(wanted, known)


def _known_deadline(client: str, *, has_progress: bool) -> float | None:
    lower = client.lower()
    timeout = next((timeout for name, timeout in CLIENT_TIMEOUTS.items() if lower.startswith(name)), None)
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
        has_tasks: Whether this very request declares the Tasks extension, so that it may be answered by a task.
        principal: Whose token it has, else LOCAL.
    """

    owner: str | None = EVERYBODY
    patience: float | None = None
    result_bytes: int | None = None
    client: str = ""
    has_tasks: bool = False
    principal: str = LOCAL

    @property
    def identity(self) -> str:
        """Who asks, as well as that is known: without a session only the client's own name tells it from others."""
        return self.owner or f"client {self.client}"


def caller_of(context: RequestContext | None, settings: Settings, *, has_progress: bool) -> Caller:
    """The client behind a call; a call without a context is made by this process itself, which waits."""
    if context is None:
        return Caller()
    session = context.session
    params = session.client_params
    name = params.client_info.name if params is not None else ""
    client = f"{name} {params.client_info.version}" if params is not None else ""
    over_stdio = settings.transport == "stdio"
    limit = os.environ.get(_TIMEOUT_VARIABLE, "") if over_stdio else ""
    seconds = settings.jobs.call_seconds or answer_deadline(name, has_progress=has_progress, set_milliseconds=limit)
    owner = EVERYBODY if over_stdio else _owner(context)
    most = settings.limits.answer_chars
    lower = name.lower()
    cuts_at = next((size for start, size in CLIENT_RESULT_BYTES.items() if lower.startswith(start)), None)
    most = most if cuts_at is None else min(most, cuts_at - MARGIN_BYTES)
    capabilities = session.client_capabilities
    has_tasks = (
        context.protocol_version in MODERN_PROTOCOL_VERSIONS
        and capabilities is not None
        and TASKS_EXTENSION in (capabilities.extensions or ())
    )
    principal = CURRENT_PRINCIPAL.get()
    return Caller(owner, seconds, most, client, has_tasks, LOCAL if principal is None else principal.name)


def _owner(context: RequestContext) -> str | None:
    """Over HTTP: the name of the token, else the session, which has a secret id."""
    if (principal := CURRENT_PRINCIPAL.get()) is not None:
        return f"token {principal.name}"
    session = session_of(context)
    return f"session {session}" if session else None


def session_of(context: RequestContext | None) -> str | None:
    """The secret id of the session of a call: "" over stdio, where there is one; None over HTTP without sessions."""
    request = context.request if context is not None else None
    if request is None:
        return ""
    return request.headers.get("mcp-session-id") or request.query_params.get("session_id")


def progress_sender(context: RequestContext | None) -> Send | None:
    """How to report progress, or None where the client gave no token."""
    meta = context.meta if context is not None else None
    if context is None or not meta or not ("progress_token" in meta or "progressToken" in meta):
        return None
    return context.session.report_progress
