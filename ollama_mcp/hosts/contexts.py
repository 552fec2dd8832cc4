"""The contexts that models run with now: what `ps` shows, and what this process asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.names import parse_name, same_model
from ollama_mcp.hosts.recent import Recent

if TYPE_CHECKING:
    from ollama_mcp.api import RunningModel


class Contexts:
    """What is loaded on a host, at most two seconds old.

    Every chat asks for it, so that many at once ask the host once.

    Args:
        ask: Gives the loaded models.
    """

    def __init__(self, ask: Callable[[], Awaitable[list[RunningModel]]]) -> None:
        self._recent = Recent(ask)
        self._sent: dict[str, int] = {}

    async def running(self) -> list[RunningModel]:
        """The loaded models; none where the host does not say."""
        try:
            return await self._recent.get()
        except OllamaMCPError:
            # The call itself will say what is wrong with the host.
            return []

    async def loaded(self, model: str) -> RunningModel | None:
        """The model as it is loaded; None where it is not, or the host does not say."""
        return _find(await self.running(), model)

    def seen_on_gpu(self) -> dict[str, bool]:
        """Whether each model lay wholly on GPUs when the host was asked last, by digest; asks nothing."""
        return gpu_shares(self._recent.last or [])

    def sent(self, model: str) -> int | None:
        """The num_ctx that this process asked for last."""
        return self._sent.get(parse_name(model).key)

    def remember(self, model: str, num_ctx: int) -> None:
        """Keep the num_ctx that a request carries; what was known of loaded models is no longer true."""
        if self._sent.get(parse_name(model).key) != num_ctx:
            self._sent[parse_name(model).key] = num_ctx
            self.forget()

    def answered(self, model: str) -> None:
        """The model answered: where it was not loaded before, it is now."""
        if _find(self._recent.last or [], model) is None:
            self.forget()

    def forget(self) -> None:
        """Ask the host again at the next call."""
        self._recent.forget()


def gpu_shares(running: Sequence[RunningModel]) -> dict[str, bool]:
    """Whether each loaded model lies wholly on GPUs, by digest.

    A host without a GPU shows 0 for all, which says nothing against any model.
    """
    if not any(model.size_vram for model in running):
        return {}
    return {model.digest: model.size_vram >= model.size for model in running if model.digest and model.size}


def _find(running: Sequence[RunningModel], model: str) -> RunningModel | None:
    return next((one for one in running if same_model(one.name, model)), None)
