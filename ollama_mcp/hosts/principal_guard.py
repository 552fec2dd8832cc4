"""What may leave for a host in somebody's name, whichever tool or user's own code asks for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar, cast

from ollama_mcp.api import ReadOnlyGuard
from ollama_mcp.api.admission import MODEL_PATHS
from ollama_mcp.errors import NotAllowed, OllamaMCPError
from ollama_mcp.formats.model_names import same_model
from ollama_mcp.hosts.creation import bases_of
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL, Principal, Scope, denied_model, unrestricted, visible
from ollama_mcp.hosts.recent import RecentDict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ollama_mcp.api import ModelCard, ModelSummary, RunningModel
    from ollama_mcp.api.http_session import ApiRequest
    from ollama_mcp.settings import Settings

ASK_FOR_SCOPE = "Who runs this server can give a token with that scope."
_WEB_PATHS = frozenset(
    ("/api/web_search", "/api/web_fetch", "/api/experimental/web_search", "/api/experimental/web_fetch")
)
# Their bodies name further models.
_NAMING = {"/api/copy": ("source", "destination"), "/api/create": ("model",)}
M = TypeVar("M", "ModelSummary", "RunningModel")
_MAX_PARENTS = 4_096
_MAX_GENERATIONS = 32


class PrincipalGuard:
    """Refuses what the settings, or the scopes and limits of whoever asks, do not allow.

    Args:
        settings: The settings of this start.
        host: The host's name; "" where everybody may reach it.
        installed: Returns the models of the host.
        card: Returns the card of one of them.
    """

    def __init__(
        self,
        settings: Settings,
        host: str,
        installed: Callable[[], Awaitable[list[ModelSummary]]],
        card: Callable[[str], Awaitable[ModelCard]],
    ) -> None:
        self._keep_alive = settings.defaults.keep_alive
        self._read_only = ReadOnlyGuard(self._keep_alive) if settings.read_only else None
        self._host = host
        self._installed, self._card = installed, card
        # By digest, of which the parent never changes.
        self._parents: RecentDict[str, str] = RecentDict(_MAX_PARENTS)

    async def check(self, request: ApiRequest) -> None:
        """Return if the request may be sent.

        Raises:
            NotAllowed: Names the setting or the scope.
            Busy: Nothing is left of what may be used today.
        """
        if self._read_only is not None:
            await self._read_only.check(request)
        principal = CURRENT_PRINCIPAL.get()
        if principal is None:
            return
        if self._host and not principal.may_reach(self._host):
            raise NotAllowed(
                f"{principal.name[:80]!r} may not use the host {self._host!r}.",
                next_step=f"Its hosts: {', '.join(principal.limits.hosts)}.",
            )
        await self._check_scopes(principal, request)
        for model in _models(request):
            await self.check_model(principal, model)
        if request.path in MODEL_PATHS:
            principal.account.check_tokens(principal.name, principal.limits)

    def visible(self, models: list[M]) -> list[M]:
        """Those of a host's models that whoever asks may use."""
        return visible(models)

    async def check_model(self, principal: Principal, model: str) -> None:
        """Refuse a model that somebody may not use: by name, as a copy of a denied one, or as made from one.

        Raises:
            NotAllowed: It may not be used.
        """
        if not principal.may_name(model):
            raise denied_model(principal, model)
        if not principal.limits.denied_models:
            return
        installed = await unrestricted(self._installed)
        denied = {one.digest for one in installed if principal.denies(one.name)}
        name = model
        for _ in range(_MAX_GENERATIONS):
            found = next((one for one in installed if same_model(one.name, name)), None)
            if found is None:
                return
            if found.digest in denied:
                raise denied_model(principal, model, ", a copy of one that is denied")
            if not (name := await self._parent(found)):
                return
            if principal.denies(name):
                raise denied_model(principal, model, ", made from one that is denied")

    async def _parent(self, model: ModelSummary) -> str:
        """The model that another was made from, or ""."""
        if model.digest not in self._parents:
            try:
                card = await unrestricted(lambda: self._card(model.name))
            except OllamaMCPError as error:
                # What nobody can tell the origin of is not used.
                raise NotAllowed(f"What {model.name!r} was made from is not known now: {error.message}") from None
            self._parents[model.digest] = card.details.parent_model
        return self._parents[model.digest]

    async def _check_scopes(self, principal: Principal, request: ApiRequest) -> None:
        if principal.may("manage"):
            # Managing loads and unloads models by the same endpoints that use them.
            if request.path in _WEB_PATHS:
                _require(principal, "use", request)
            return
        if request.path in MODEL_PATHS or request.path in _WEB_PATHS:
            _require(principal, "use", request)
        reason = f"{principal.name[:80]!r} does not have the scope 'manage'"
        await ReadOnlyGuard(self._keep_alive, reason, ASK_FOR_SCOPE).check(request)


def _models(request: ApiRequest) -> set[str]:
    found = {request.model} if request.model else set[str]()
    if request.path in _NAMING and isinstance(request.body, bytes):
        body = cast("dict[str, object]", json.loads(request.body))
        found |= {value for field in _NAMING[request.path] if isinstance(value := body.get(field), str) and value}
        if request.path == "/api/create":
            found |= bases_of(body)
    return found


def _require(principal: Principal, scope: Scope, request: ApiRequest) -> None:
    if not principal.may(scope):
        raise NotAllowed(
            f"{request.method} {request.path} needs the scope {scope!r}, which {principal.name[:80]!r} does not have.",
            next_step=ASK_FOR_SCOPE,
        )
