"""One host of several: what it has, by its last check, and whether it answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from ollama_mcp.errors import InvalidArgument, OllamaMCPError, Timeout
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.hosts.config import HostConfig
from ollama_mcp.hosts.pool import HostPool
from ollama_mcp.hosts.principal import unrestricted

if TYPE_CHECKING:
    from ollama_mcp.api import ModelSummary, RunningModel
    from ollama_mcp.api.versions import ServerVersion
    from ollama_mcp.settings import Settings

    M = TypeVar("M", ModelSummary, RunningModel)

CHECK_SECONDS = 10.0
# A check that ends so much later was held up by this process, which says nothing of the host.
_LATE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a host had when it was last asked: its models and those in memory, by their keys."""

    models: Mapping[str, ModelSummary]
    running: Mapping[str, RunningModel]
    version: ServerVersion
    at: float


class Member(HostPool):
    """One host of several.

    Args:
        settings: As of HostPool.
        config: How the host is reached.
        api_key: As of HostPool.
        cloud_url: As of HostPool.
        named: Finds the pool of another name.
        forget: Drops what the fleet has cached of a model.

    Attributes:
        inventory: What it last said that it has; None before it ever answered.
        answers: Whether it answered the last check.
    """

    def __init__(
        self,
        settings: Settings,
        config: HostConfig,
        *,
        api_key: str,
        cloud_url: str,
        named: Callable[[str], HostPool],
        forget: Callable[[str], None],
    ) -> None:
        super().__init__(settings, api_key=api_key, cloud_url=cloud_url, host=config)
        self.inventory: Inventory | None = None
        self.answers = False
        self._named, self._forget = named, forget
        self._check: asyncio.Task[None] | None = None

    def named(self, name: str) -> HostPool:
        """The pool for another name; see `Fleet.named`."""
        return self._named(name)

    def summary(self, model: str) -> ModelSummary | None:
        """The model of that name as the host last listed it."""
        return self.inventory.models.get(parse_name(model).key) if self.inventory is not None else None

    def is_loaded(self, model: str) -> bool:
        """Whether the model is in memory, as far as is known."""
        key = parse_name(model).key
        if self.inventory is None:
            return False
        return self.queue.last_answer(key) > self.inventory.at or key in self.inventory.running

    def check(self) -> asyncio.Task[None]:
        """Ask the host for what it has, which tells whether it works; checks at the same time share one."""
        if self._check is None or self._check.done():
            self.queue.health.begin_trial()
            self._check = asyncio.create_task(unrestricted(self._ask))
        return self._check

    async def _ask(self) -> None:
        health, started = self.queue.health, time.monotonic()
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                client = self.client()
                version = await client.server_version()
                models, running = await asyncio.gather(client.tags(), self.running())
        except TimeoutError:
            if time.monotonic() - started > CHECK_SECONDS + _LATE_SECONDS:
                health.end_trial()
                return
            self.answers = False
            silent = f"{self.config.name} ({self.url}) did not answer within {CHECK_SECONDS:g} s."
            health.failed(Timeout(silent), check=True)
        except OllamaMCPError as error:
            self.answers = False
            health.failed(error, check=True)
        else:
            self.answers = True
            self.inventory = Inventory(_by_key(models), _by_key(running or []), version, time.monotonic())
            health.succeeded(check=True)

    def invalidate(self, model: str) -> None:
        """Drop what is cached of a model, here and in the merged lists."""
        super().invalidate(model)
        self._forget(model)
        if self.inventory is not None:
            self.inventory = replace(self.inventory, at=0.0)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._check is not None:
            self._check.cancel()
        await super().aclose()


def _by_key(models: Iterable[M]) -> dict[str, M]:
    """The models by the keys of their names; one whose name is none can't be named by a call either."""
    found: dict[str, M] = {}
    for model in models:
        with suppress(InvalidArgument):
            found[parse_name(model.name).key] = model
    return found
