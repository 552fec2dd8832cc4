from collections.abc import AsyncGenerator

import pytest

from ollama_mcp.simulator import Simulator


@pytest.fixture
async def simulator() -> AsyncGenerator[Simulator]:
    """A simulated Ollama of the newest documented generation."""
    async with Simulator(version="latest") as simulator:
        yield simulator
