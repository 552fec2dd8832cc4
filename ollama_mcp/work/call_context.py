"""The context of one call: settings, hosts, files, the store and progress, as the work behind a tool needs them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ollama_mcp.errors import DiskError, OllamaMCPError

if TYPE_CHECKING:
    from ollama_mcp.access import Access
    from ollama_mcp.api import OllamaClient
    from ollama_mcp.hosts import HostPool
    from ollama_mcp.hosts.model_activity import ActiveCalls
    from ollama_mcp.settings import Settings
    from ollama_mcp.store import Batches, Store
    from ollama_mcp.work.batch.elsewhere import Workers
    from ollama_mcp.work.choosing import ModelHabits
    from ollama_mcp.work.progress import Progress

log = logging.getLogger(__name__)

_SHORT_CALL_SECONDS = 1.0
_POLL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a call works with; the server's `Call` extends it by what concerns the client.

    Args:
        settings: The settings of this start.
        hosts: The Ollama hosts.
        make_access: Returns the guard of files and URLs, which is built at first use.
        store: What outlives the call.
        progress: Where progress is reported.
        in_use: The models that calls of this server use now.
        habits: The models that this caller named before.
        started: When the call began, on the monotonic clock.
        resumed: Whether it goes on with a job that another process began.
        workers: Returns the processes that take rows of batches, where the store is one that they share.
        afterwards: What is to be done once the result is kept, so that what it was made from is not needed any more.
    """

    settings: Settings
    hosts: HostPool
    make_access: Callable[[], Access]
    store: Store
    progress: Progress
    in_use: ActiveCalls
    habits: ModelHabits
    started: float = field(default_factory=time.monotonic, kw_only=True)
    resumed: bool = field(default=False, kw_only=True)
    workers: Callable[[], Workers] | None = field(default=None, kw_only=True)
    afterwards: list[Callable[[], Awaitable[None]]] = field(
        default_factory=list[Callable[[], Awaitable[None]]], kw_only=True
    )

    @property
    def client(self) -> OllamaClient:
        """The client of the host that serves the call."""
        return self.hosts.client()

    @property
    def access(self) -> Access:
        """What may be read, written and fetched."""
        return self.make_access()

    @property
    def batches(self) -> Batches:
        """The runs in the store: what is begun waits for a database that is away; a new call learns of it at once."""
        return self.store.batches.patient(self._tell_of_wait, at_once=self.resumed or self.progress.moved.is_set())

    async def _tell_of_wait(self, error: DiskError) -> None:
        await self.progress.say(f"waiting for the database. {error.message}")

    def keep_alive(self, given: float | str | None) -> float | str | None:
        """The keep_alive to send: the caller's, else the settings', else none, since it changes the model for all."""
        return given if given is not None else self.settings.defaults.keep_alive

    async def run_afterwards(self) -> None:
        """Do what was left for after the result was kept; what fails is logged, since the result is there."""
        for step in self.afterwards:
            try:
                await step()
            except OllamaMCPError as error:
                log.warning("%s", error)

    def report_waiting(self, model: str, earlier: Callable[[], int], *, about: str = "") -> Callable[[], None]:
        """Find out, beside the call, what it waits for before the model's first word, and report that as progress.

        Args:
            model: The model.
            earlier: Tells how many calls of this server that began before use the model.
            about: What the words begin with.

        Returns:
            A function that ends it.
        """
        tasks: list[asyncio.Task[None]] = []

        def start() -> None:
            tasks.append(asyncio.create_task(self._report_waiting(model, earlier, about)))

        def stop() -> None:
            timer.cancel()
            for task in tasks:
                task.cancel()

        # Where nobody listens, the call may still become a job that tells it; most calls end before that.
        wait = 0.0 if self.progress.send is not None else _SHORT_CALL_SECONDS
        timer = asyncio.get_running_loop().call_later(wait, start)
        return stop

    async def _report_waiting(self, model: str, earlier: Callable[[], int], about: str) -> None:
        loaded = False

        def described() -> str:
            if self.progress.queued is not None:
                return self.progress.queued()
            calls = f"{count} earlier call{'s' * (count > 1)} of this server" if (count := earlier()) else ""
            if not loaded:
                return f"{about}loading {model}" + (f", for {calls} too" if calls else "")
            return (
                f"{about}waiting for {model}, which works on {calls}" if calls else f"{about}{model} reads the prompt"
            )

        while not loaded and not self.progress.moved.is_set():
            try:
                loaded = await self.hosts.loaded_models.is_loaded_now(model)
            except OllamaMCPError:
                # The call itself will say what is wrong with the host.
                return
            if not self.progress.moved.is_set():
                await self.progress.say(described)
            await asyncio.sleep(_POLL_SECONDS)
