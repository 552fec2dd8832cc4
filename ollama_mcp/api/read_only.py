"""What may leave for a host: under read_only nothing that changes what the user has there, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from ollama_mcp.errors import InvalidArgument, NotAllowed
from ollama_mcp.formats.durations import keep_alive_seconds
from ollama_mcp.formats.escaping import escape

if TYPE_CHECKING:
    from ollama_mcp.api.http_session import ApiRequest
    from ollama_mcp.api.responses import ModelSummary, RunningModel

# An endpoint that is not listed is refused: one that Ollama adds later may change anything.
READING_POSTS = frozenset(
    {
        "/api/chat",
        "/api/embed",
        "/api/embeddings",
        "/api/experimental/web_fetch",
        "/api/experimental/web_search",
        "/api/generate",
        "/api/me",
        "/api/show",
        "/api/web_fetch",
        "/api/web_search",
        "/v1/systemone",
    }
)
_EFFECTS = {
    "/api/copy": "copy",
    "/api/create": "create",
    "/api/delete": "delete",
    "/api/pull": "download",
    "/api/push": "publish",
}
# Inference loads a model as a side effect. A time outside of these is asked for to unload it, or to pin it.
_SHORTEST_SECONDS, _LONGEST_SECONDS = 1.0, 86_400.0


M = TypeVar("M", "ModelSummary", "RunningModel")


class Guard(Protocol):
    """Judges each request before it is sent."""

    async def check(self, request: ApiRequest) -> None:
        """Return if the request may be sent; raises NotAllowed otherwise."""
        ...

    def visible(self, models: list[M]) -> list[M]:
        """Those of the models that may be shown to whoever asks."""
        ...


@dataclass(frozen=True, slots=True)
class ReadOnlyGuard:
    """Refuses requests that change models, files or what is in memory.

    Args:
        default_keep_alive: The keep_alive of the user's settings, which is sent whatever it is.
        reason: Why it refuses.
        next_step: What can be done about it.
    """

    default_keep_alive: float | str | None = None
    reason: str = "setting read_only is on"
    next_step: str = "The user can turn read_only off in the settings."

    async def check(self, request: ApiRequest) -> None:
        """Return if the request only reads.

        Raises:
            NotAllowed: It does not; names the setting.
        """
        model = f" {escape(request.model, 80)!r}" if request.model else ""
        if not _only_reads(request):
            raise NotAllowed(
                f"{request.method} {escape(request.path, 30)} would {_effect(request.path)}{model}: not sent, since "
                f"{self.reason}.",
                next_step=self.next_step,
            )
        if request.keep_alive is not None and request.keep_alive != self.default_keep_alive:
            self._check_keep_alive(request.keep_alive, model)

    def visible(self, models: list[M]) -> list[M]:
        """All models."""
        return models

    def _check_keep_alive(self, value: float | str, model: str) -> None:
        try:
            # A number as text has no unit and is refused by Ollama; its meaning is plain, and a proxy may take it.
            seconds = keep_alive_seconds(float(value)) if _is_number(value) else keep_alive_seconds(value)
        except InvalidArgument:
            # No duration: Ollama refuses it, and says how one is written.
            return
        if _SHORTEST_SECONDS <= seconds <= _LONGEST_SECONDS:
            return
        effect = "unload" if 0 <= seconds < _SHORTEST_SECONDS else "pin"
        raise NotAllowed(
            f"keep_alive {escape(str(value), 40)!r} would {effect}{model or ' the model'}: not sent, since "
            f"{self.reason}.",
            next_step=f"Leave keep_alive out, or give a time such as '10m'. {self.next_step}",
        )


def _only_reads(request: ApiRequest) -> bool:
    return request.method in ("GET", "HEAD") or (request.method == "POST" and request.path in READING_POSTS)


def _is_number(value: float | str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _effect(path: str) -> str:
    """What a request to the path would do, as a verb."""
    return "upload a file" if path.startswith("/api/blobs/") else _EFFECTS.get(path, "change something on the host")
