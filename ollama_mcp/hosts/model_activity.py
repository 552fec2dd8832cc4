"""Which models are loaded on a host, with which context length, and which of them running calls use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.model_names import parse_name, same_model
from ollama_mcp.hosts.recent import RecentDict
from ollama_mcp.hosts.ttl_cache import CoalescingTTLCache

if TYPE_CHECKING:
    from ollama_mcp.api import RunningModel

RECENT_SECONDS = 0.5
_MAX_REQUESTED = 1_024


class LoadedModelTracker:
    """The models loaded on a host, at most two seconds old, and the num_ctx that this process requested for each.

    Args:
        fetch: Asks the host for its loaded models.
    """

    def __init__(self, fetch: Callable[[], Awaitable[list[RunningModel]]]) -> None:
        # Every chat asks for it, so calls at the same moment share one request.
        self._cache = CoalescingTTLCache(fetch)
        self._recent = CoalescingTTLCache(fetch, RECENT_SECONDS)
        self._requested: RecentDict[str, int] = RecentDict(_MAX_REQUESTED)

    async def all(self) -> list[RunningModel]:
        """The loaded models; empty where the host does not answer."""
        try:
            return await self._cache.get()
        except OllamaMCPError:
            # The call itself will report what is wrong with the host.
            return []

    async def is_loaded_now(self, model: str) -> bool:
        """Whether the model is loaded, asked of the host within the last half second: a thousand waiting calls ask.

        Raises:
            OllamaMCPError: The host does not answer.
        """
        return _find(await self._recent.get(), model) is not None

    async def find(self, model: str) -> RunningModel | None:
        """The model as it is loaded; None where it is not, or where the host does not answer."""
        return _find(await self.all(), model)

    def last_fully_on_gpu(self) -> dict[str, bool]:
        """The last known result of `fully_on_gpu`; sends no request."""
        return fully_on_gpu(self._cache.last or [])

    def requested_num_ctx(self, model: str) -> int | None:
        """The num_ctx of this process's last request to the model."""
        return self._requested.get(parse_name(model).key)

    def record_num_ctx(self, model: str, num_ctx: int) -> None:
        """Record the num_ctx of a request; another one than before makes Ollama reload the model."""
        if self._requested.get(parse_name(model).key) != num_ctx:
            self._requested[parse_name(model).key] = num_ctx
            self.invalidate()

    def record_answer(self, model: str) -> None:
        """Record that the model answered: if it was not loaded before, it is now."""
        if _find(self._cache.last or [], model) is None:
            self.invalidate()

    def invalidate(self) -> None:
        """Make the next call ask the host again."""
        self._cache.invalidate()


def fully_on_gpu(running: Sequence[RunningModel]) -> dict[str, bool]:
    """Whether each loaded model is entirely in GPU memory, by digest.

    A host without a GPU reports 0 for all, which is no reason to avoid a model, so the result is empty.
    """
    if not any(model.size_vram for model in running):
        return {}
    return {model.digest: model.size_vram >= model.size for model in running if model.digest and model.size}


def _find(running: Sequence[RunningModel], model: str) -> RunningModel | None:
    return next((entry for entry in running if same_model(entry.name, model)), None)


class ActiveCalls:
    """The running calls of each model, so that unloading a model in use needs the user's confirmation."""

    def __init__(self) -> None:
        self._calls: dict[str, list[object]] = {}

    def has(self, model: str) -> bool:
        """Whether a call uses the model now."""
        return bool(self._calls.get(parse_name(model).key))

    @contextmanager
    def track(self, model: str) -> Generator[Callable[[], int]]:
        """Count a call of the model while the block runs; yields how many calls that began before still run."""
        key, ticket = parse_name(model).key, object()
        calls = self._calls.setdefault(key, [])
        calls.append(ticket)
        try:
            # Progress may ask once more after the call has ended.
            yield lambda: calls.index(ticket) if ticket in calls else 0
        finally:
            calls.remove(ticket)
            if not calls:
                del self._calls[key]
