import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from ollama_mcp.simulator import Simulator
from tests.work.batch.batching import Bench, batching


@pytest.fixture
async def bench(simulator: Simulator, tmp_path: Path) -> AsyncGenerator[Bench]:
    """A server over the simulator with a folder of its own."""
    made: asyncio.Future[Bench] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def hold() -> None:
        # The client has to be left in the task that it was entered in, which a fixture's own halves are not.
        async with batching(simulator, tmp_path) as bench:
            made.set_result(bench)
            await over.wait()

    holding = asyncio.create_task(hold())
    await asyncio.wait({holding, made}, return_when=asyncio.FIRST_COMPLETED)
    yield made.result()
    over.set()
    await holding
