"""What work needs from a call, without a server: a kit over a simulated Ollama."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from ollama_mcp.access import Access
from ollama_mcp.api import OllamaClient
from ollama_mcp.hosts import HostPool
from ollama_mcp.hosts.in_use import InUse
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Simulator
from ollama_mcp.store import Store
from ollama_mcp.work.choosing import ModelHabits


class Silence:
    """Progress that nobody wants."""

    def __init__(self) -> None:
        self.text: Callable[[], str] = str

    @asynccontextmanager
    async def phase(self, text: str) -> AsyncGenerator[None]:
        yield

    async def say(self, text: str) -> None: ...

    async def update(self, done: float, text: Callable[[], str], total: float | None = None) -> None: ...


@dataclass
class BareKit:
    """A kit of real parts."""

    settings: Settings
    hosts: HostPool
    store: Store
    progress: Silence = field(default_factory=Silence)
    in_use: InUse = field(default_factory=InUse)
    habits: ModelHabits = field(default_factory=ModelHabits)

    @property
    def client(self) -> OllamaClient:
        return self.hosts.client()

    @property
    def access(self) -> Access:
        raise AssertionError("nothing here reads files")

    def keep_alive(self, given: float | str | None) -> float | str | None:
        return given

    def tell_loading(self, model: str) -> asyncio.Task[None]:
        raise AssertionError("several answers at once do not tell of loading")


@asynccontextmanager
async def kit_of(simulator: Simulator, **more: Any) -> AsyncGenerator[BareKit]:
    """A kit whose Ollama is the simulator; further keywords are settings."""
    settings = Settings.model_validate({"host": simulator.url, "store": {"path": ":memory:"}, **more})
    call = BareKit(settings, HostPool(settings), Store.of(settings))
    try:
        yield call
    finally:
        await call.hosts.aclose()
        await call.store.aclose()


@pytest.fixture
async def call(simulator: Simulator) -> AsyncGenerator[BareKit]:
    """A kit with the settings as they come."""
    async with kit_of(simulator) as call:
        yield call
