"""What work needs from a call, without a server: a call context over a simulated Ollama."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ollama_mcp.hosts import HostPool
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Simulator
from ollama_mcp.store import Store
from ollama_mcp.work.call_context import CallContext
from ollama_mcp.work.own_context import own_context


@asynccontextmanager
async def call_context(simulator: Simulator, **more: Any) -> AsyncGenerator[CallContext]:
    """A call context whose Ollama is the simulator; further keywords are settings."""
    settings = Settings.model_validate({"host": simulator.url, "store": {"path": ":memory:"}, **more})
    call = own_context(settings, HostPool(settings), Store.from_settings(settings))
    try:
        yield call
    finally:
        await call.hosts.aclose()
        await call.store.aclose()


@pytest.fixture
async def call(simulator: Simulator) -> AsyncGenerator[CallContext]:
    """A call context with the settings as they come."""
    async with call_context(simulator) as call:
        yield call
