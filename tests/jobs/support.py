"""What the tests of jobs share."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from mcp import Client
from mcp.types import CallToolResult

from ollama_mcp.simulator import Answer, Simulator
from tests.support import data, texts

MODEL = "llama3.2:3b"
CHAT = {"model": MODEL, "prompt": "Hi"}
JOB = "ollama_job"
WORDS = ["One ", "two ", "three"]


async def warm(client: Client) -> None:
    """Load what a first call loads, so that the time of the next one is spent in the host."""
    # On a busy machine the first one may take so long that it becomes a job.
    while len(texts(await client.call_tool("ollama_chat", CHAT))) > 1:
        pass


def job_of(result: CallToolResult) -> str:
    """The id of the job that a call became."""
    assert not result.is_error, texts(result)
    name = (result.meta or {})["ollama-mcp-server/job"]["id"]
    assert f"ollama_job(action='result', id='{name}')" in texts(result)[0]
    return name


async def handed_over(client: Client, simulator: Simulator, answer: Answer) -> CallToolResult:
    """The result of a chat that became a job after its first words; the answer holds after these."""
    await warm(client)
    while True:
        simulator.script(MODEL, answer)
        result = await client.call_tool("ollama_chat", CHAT)
        if len(texts(result)) > 1:
            return result
        # On a busy machine its time may run out before the first word.
        await client.call_tool(JOB, {"action": "cancel", "id": job_of(result)})


async def listed_once(
    client: Client, true: Callable[[dict[str, dict[str, Any]]], bool]
) -> tuple[str, dict[str, dict[str, Any]]]:
    """The list of jobs, as text and by id, once it is as wanted."""
    deadline = time.monotonic() + 30.0
    while True:
        result = await client.call_tool(JOB, {})
        rows = {row["id"]: row for row in data(result)["jobs"]}
        if true(rows):
            return texts(result)[0], rows
        assert time.monotonic() < deadline, rows
        await asyncio.sleep(0.02)
