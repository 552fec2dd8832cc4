from collections.abc import AsyncGenerator

import pytest

from ollama_mcp.simulator import Simulator
from ollama_mcp.simulator.skill import Skill
from tests.work.batch.conftest import bench as bench
from tests.work.cascade.cascading import LARGE, SMALL


@pytest.fixture
async def simulator() -> AsyncGenerator[Simulator]:
    """Two models of known accuracy: the small one is often right, and less sure where it is not."""
    async with Simulator(version="latest", models=[SMALL, LARGE]) as simulator:
        simulator.scripts.learn(SMALL, Skill(0.9, name="small").answer)
        simulator.scripts.learn(LARGE, Skill(0.98, name="large").answer)
        yield simulator
