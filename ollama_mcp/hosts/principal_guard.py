"""What may leave for a host in somebody's name: what the scopes allow, whichever tool or user's own code asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ollama_mcp.api import ReadOnlyGuard
from ollama_mcp.api.admission import MODEL_PATHS
from ollama_mcp.errors import NotAllowed
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL, Principal, Scope

if TYPE_CHECKING:
    from ollama_mcp.api.http_session import ApiRequest
    from ollama_mcp.api.read_only import Guard
    from ollama_mcp.settings import Settings

ASK_FOR_SCOPE = "Who runs this server can give a token with that scope."
_WEB_PATHS = frozenset(
    ("/api/web_search", "/api/web_fetch", "/api/experimental/web_search", "/api/experimental/web_fetch")
)


def open_guard(settings: Settings, network: Guard | None = None) -> Guard | None:
    """The guard of a host's requests under the settings; None where everything may be sent.

    Args:
        settings: The settings of this start.
        network: What the setting `network` does not let pass, which is asked last.
    """
    guard: Guard | None = None
    if settings.transport != "stdio":
        guard = PrincipalGuard(settings)
    elif settings.read_only:
        guard = ReadOnlyGuard(settings.defaults.keep_alive)
    return _Both(guard, network) if guard is not None and network is not None else guard or network


class _Both:
    """Lets pass what two guards let pass."""

    def __init__(self, first: Guard, second: Guard) -> None:
        self._first, self._second = first, second

    async def check(self, request: ApiRequest) -> None:
        """Return if the request may be sent; raises what the guards do."""
        await self._first.check(request)
        await self._second.check(request)


class PrincipalGuard:
    """Refuses what the settings or the scopes of whoever asks do not allow.

    Args:
        settings: The settings of this start.
    """

    def __init__(self, settings: Settings) -> None:
        self._keep_alive = settings.defaults.keep_alive
        self._read_only = ReadOnlyGuard(self._keep_alive) if settings.read_only else None

    async def check(self, request: ApiRequest) -> None:
        """Return if the request may be sent.

        Raises:
            NotAllowed: Names the setting or the scope.
        """
        if self._read_only is not None:
            await self._read_only.check(request)
        principal = CURRENT_PRINCIPAL.get()
        if principal is None:
            return
        # Managing loads and unloads models by the same endpoints.
        if request.path in MODEL_PATHS and not principal.may("manage"):
            _require(principal, "use", request)
        if request.path in _WEB_PATHS:
            _require(principal, "use", request)
        if not principal.may("manage"):
            reason = f"{principal.name[:80]!r} does not have the scope 'manage'"
            await ReadOnlyGuard(self._keep_alive, reason, ASK_FOR_SCOPE).check(request)


def _require(principal: Principal, scope: Scope, request: ApiRequest) -> None:
    if not principal.may(scope):
        raise NotAllowed(
            f"{request.method} {request.path} needs the scope {scope!r}, which {principal.name[:80]!r} does not have.",
            next_step=ASK_FOR_SCOPE,
        )
