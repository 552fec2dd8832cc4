"""What work needs from the call that it is done for; the call of the server is such a thing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from ollama_mcp.access import Access
    from ollama_mcp.api import OllamaClient
    from ollama_mcp.hosts import HostPool
    from ollama_mcp.hosts.in_use import InUse
    from ollama_mcp.settings import Settings
    from ollama_mcp.store import Store
    from ollama_mcp.work.choosing import ModelHabits


class Reporter(Protocol):
    """Where progress is reported.

    Attributes:
        text: Gives what the model has written so far; set by who reads the answer.
    """

    text: Callable[[], str]

    def phase(self, text: str) -> AbstractAsyncContextManager[None]:
        """Say `text` now and now and then until the block ends."""
        ...

    async def say(self, text: str) -> None:
        """Say something now."""
        ...

    async def update(self, done: float, text: Callable[[], str], total: float | None = None) -> None:
        """Report units done, and how many there are where that is known."""
        ...


class CallContext(Protocol):
    """What is at hand: settings, hosts, files, the store, progress."""

    @property
    def settings(self) -> Settings:
        """The settings of this start."""
        ...

    @property
    def hosts(self) -> HostPool:
        """The Ollama hosts."""
        ...

    @property
    def client(self) -> OllamaClient:
        """The client of the host that serves the call."""
        ...

    @property
    def access(self) -> Access:
        """What may be read, written and fetched."""
        ...

    @property
    def store(self) -> Store:
        """What outlives the call."""
        ...

    @property
    def progress(self) -> Reporter:
        """Where to report progress."""
        ...

    @property
    def in_use(self) -> InUse:
        """The models that calls use now."""
        ...

    @property
    def habits(self) -> ModelHabits:
        """The models that this caller used before."""
        ...

    def keep_alive(self, given: float | str | None) -> float | str | None:
        """The keep_alive to send."""
        ...

    def tell_loading(self, model: str) -> asyncio.Task[None]:
        """Let the progress say, beside the call, whether the model is loading."""
        ...
