import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast

import pytest
from mcp import Client

from ollama_mcp.simulator import Simulator
from tests.agent.agent import Agent, Host
from tests.support import connected


@pytest.fixture(params=["structured", "text"])
def host(request: pytest.FixtureRequest) -> Host:
    """What the agent's host shows of a result."""
    return cast("Host", request.param)


@pytest.fixture
async def agent(simulator: Simulator, host: Host, tmp_path: Path) -> AsyncGenerator[Agent]:
    """An agent of a server with default settings, which may read and write in the test's own folder."""
    connection: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def hold() -> None:
        # A client must be closed by the task that opened it, and fixtures end in a task of their own.
        folders = [str(tmp_path)]
        read = {"image_folders": folders, "text_folders": folders}
        async with connected(simulator.url, read=read, write={"folders": folders}) as client:
            connection.set_result(client)
            await over.wait()

    holding = asyncio.create_task(hold())
    yield Agent(await connection, host)
    over.set()
    await holding
