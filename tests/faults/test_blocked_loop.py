"""A tool of the user's own that blocks the event loop is named on stderr; one that awaits is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ollama_mcp.simulator import Simulator
from tests.faults.rig import Server, Transport

TOOLS = """
import asyncio
import time

from ollama_mcp import READS, Call, tool


def sleep():
    time.sleep(3)


@tool(title="Heavy", toolset="system", hints=READS)
async def heavy(call: Call) -> str:
    \"\"\"Block the event loop.\"\"\"
    sleep()
    return "blocked"


@tool(title="Polite", toolset="system", hints=READS)
async def polite(call: Call) -> str:
    \"\"\"Wait for a thread.\"\"\"
    await asyncio.to_thread(sleep)
    return "waited"
"""


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_only_the_tool_that_blocks_the_loop_is_named(transport: Transport, tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    async with Simulator(version="latest") as simulator:
        server = Server(transport, {"host": simulator.url, "tools.folders": [str(tmp_path)]})
        await server.open()
        before = await server.counts()
        polite = await server.begin("polite")
        heavy = await server.begin("heavy")
        assert {(await server.answer(polite)).text, (await server.answer(heavy)).text} == {"waited", "blocked"}
        while (await server.counts())["threads"] > before["threads"]:
            pass
        await asyncio.to_thread(server.close)
    (warning,) = [line for line in server.process.stderr if "WARNING ollama_mcp.tools" in line]
    assert "the tool heavy blocks this server" in warning and "polite" not in warning
