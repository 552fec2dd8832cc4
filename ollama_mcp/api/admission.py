"""What a request that runs a model has to pass before it is sent; the queues behind it are of `ollama_mcp.hosts`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ollama_mcp.api.events import Stats
    from ollama_mcp.api.http_session import ApiRequest

MODEL_PATHS = frozenset(("/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/v1/systemone"))


class Ticket(Protocol):
    """A request's place among those that run a model on a host."""

    def leave(self, error: BaseException | None = None) -> None:
        """Give the place up; `error` is what the request failed with."""
        ...

    def record(self, stats: Stats) -> None:
        """Take note of how long the host worked."""
        ...


class Admission(Protocol):
    """Decides when a request that runs a model may be sent."""

    async def enter(self, request: ApiRequest) -> Ticket:
        """Wait for a place; raises Busy where too many wait."""
        ...
