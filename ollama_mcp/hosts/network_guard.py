"""What may leave for a host under the setting `network`: nothing that makes the host connect to somebody else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ollama_mcp.api.admission import MODEL_PATHS
from ollama_mcp.errors import InvalidArgument, NotAllowed
from ollama_mcp.formats.escaping import escape
from ollama_mcp.formats.host_url import is_ollama_com
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.hosts.creation import bases_of

if TYPE_CHECKING:
    from ollama_mcp.api import ModelSummary, RunningModel
    from ollama_mcp.api.http_session import ApiRequest
    from ollama_mcp.api.read_only import Guard
    from ollama_mcp.hosts.pool import HostPool
    from ollama_mcp.settings import Settings

M = TypeVar("M", "ModelSummary", "RunningModel")
# How old a card may be: a name may become a cloud model's at any time, and a batch asks for it with each row.
_CARD_SECONDS = 1.0
# Ollama answers these itself, whatever the model; other endpoints with a cloud model's name may go on to ollama.com.
_LOCAL_PATHS = frozenset(("/api/copy", "/api/delete"))
_ON_ACCOUNT = frozenset(("/api/me", "/api/signout", "/api/web_search", "/api/web_fetch"))


class NetworkGuard:
    """Refuses cloud models (by their names, and by what the host says of them), web tools, push, and pulls.

    Args:
        settings: The settings of this start; `network` is not "full".
        pool: The pool of the host, which knows its models.
        url: The address of the host.
        is_cloud: Whether the host is ollama.com, by whatever address.
        before: A guard that is asked first.
    """

    def __init__(
        self, settings: Settings, pool: HostPool, url: str, *, is_cloud: bool, before: Guard | None = None
    ) -> None:
        self._before = before
        self._mode = settings.network
        self._registries = {name.lower() for name in settings.policy.registries}
        self._pool = pool
        self._is_cloud = is_cloud or is_ollama_com(url)

    async def check(self, request: ApiRequest) -> None:
        """Return if the request stays on the host.

        Raises:
            NotAllowed: Names the setting.
            OllamaMCPError: Where a model runs cannot be known, or the guard before refuses.
        """
        if self._before is not None:
            await self._before.check(request)
        path, model = request.path, request.model or ""
        if self._is_cloud:
            raise self._refusal(f"{request.method} {path} would go to ollama.com")
        if path in _ON_ACCOUNT or path.startswith("/api/experimental/"):
            raise self._refusal(f"{request.method} {path} would make Ollama ask ollama.com")
        if model and path not in _LOCAL_PATHS and _is_cloud_name(model):
            raise self._refusal(f"{escape(model, 80)} runs on ollama.com")
        if path in MODEL_PATHS and model:
            card = await self._pool.card(model, since=time.monotonic() - _CARD_SECONDS)
            if card.remote_host:
                raise self._refusal(f"{escape(model, 80)} runs on {escape(card.remote_host, 80)}")
        elif path == "/api/push":
            raise self._refusal(f"{escape(model, 80)} would be published")
        elif path == "/api/pull":
            self._check_registry(model)
        elif path == "/api/create":
            await self._check_creation(request)

    def visible(self, models: list[M]) -> list[M]:
        """Those of the models that may be shown to whoever asks."""
        return models if self._before is None else self._before.visible(models)

    def _check_registry(self, model: str) -> None:
        host = parse_name(model).host.lower()
        if self._mode == "off" or host not in self._registries:
            raise self._refusal(f"{escape(model, 80)} would be downloaded from {escape(host, 80)}")

    async def _check_creation(self, request: ApiRequest) -> None:
        """Ollama downloads a base that it does not have, and forwards to the `remote_host` of what it creates."""
        body: dict[str, Any] = msgspec.json.decode(request.body if isinstance(request.body, bytes) else b"{}")
        if body.get("remote_host"):
            raise self._refusal(f"{escape(request.model or 'the model', 80)} would run on another host")
        for base in bases_of(body):
            if _is_cloud_name(base):
                raise self._refusal(f"{escape(base, 80)} runs on ollama.com")
            if await self._pool.find_model(base) is None:
                self._check_registry(base)

    def _refusal(self, reason: str) -> NotAllowed:
        return NotAllowed(
            f"{reason}: not sent, since setting network is {self._mode!r}.",
            next_step="Use a model that is installed on the host; the user can change network in the settings.",
        )


def _is_cloud_name(model: str) -> bool:
    try:
        return parse_name(model).is_cloud
    except InvalidArgument:
        # Ollama refuses it.
        return False
