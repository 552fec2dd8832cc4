"""Clients that listen hear which resources a tool has changed, and the next prompt knows it too."""

import asyncio
import re
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.server.guidance.guided_server import CHANGED_RESOURCES
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Simulator
from tests.guidance.helpers import prompt_text

URIS = ["ollama://models", "ollama://running", "ollama://status"]


def _server(simulator: Simulator) -> OllamaServer:
    return OllamaServer(Settings.model_validate({"host": simulator.url}))


@pytest.mark.parametrize(
    ("tool", "arguments", "uris"),
    [
        ("ollama_pull_model", {"model": "smollm2:135m"}, {"ollama://models", "ollama://status"}),
        ("ollama_load_model", {"model": "llama3.2:3b"}, {"ollama://running", "ollama://status"}),
        ("ollama_pull_model", {"model": "smollm2:135m", "background": True}, {"ollama://models", "ollama://status"}),
    ],
)
async def test_those_who_listen_hear_of_each_resource_that_changed(
    simulator: Simulator, tool: str, arguments: dict[str, Any], uris: set[str]
):
    async with Client(_server(simulator), mode="auto") as client, client.listen(resource_subscriptions=URIS) as heard:
        await client.call_tool(tool, arguments)
        told: set[str] = set()
        async with asyncio.timeout(30):
            async for event in heard:
                told |= set(re.findall(r"ollama://\w+", str(event)))
                if told >= uris:
                    break
    assert told == uris


async def test_the_next_prompt_and_completion_know_of_the_change(simulator: Simulator):
    async with Client(_server(simulator), mode="legacy") as client:
        assert "smollm2" not in await prompt_text(client, "delegate_task", task="x")
        await client.call_tool("ollama_pull_model", {"model": "smollm2:135m"})
        assert "- smollm2:135m" in await prompt_text(client, "delegate_task", task="x")


async def test_a_tool_that_only_reads_changes_nothing(simulator: Simulator):
    async with Client(_server(simulator), mode="legacy") as client:
        await prompt_text(client, "delegate_task", task="x")
        await client.call_tool("ollama_list_models", {})
        asked = len(simulator.requests)
        await prompt_text(client, "delegate_task", task="x")
    assert len(simulator.requests) == asked


async def test_every_tool_that_changes_something_is_told_of(simulator: Simulator):
    server = _server(simulator)
    writing = {name for name, tool in server.bound_tools.items() if not tool.spec.hints.read_only}
    assert writing - set(CHANGED_RESOURCES) == {"ollama_push_model"}


async def test_a_program_that_calls_a_tool_directly_has_nobody_to_tell(simulator: Simulator):
    server = _server(simulator)
    result = await server.call_tool("ollama_load_model", {"model": "llama3.2:3b"}, None)
    assert isinstance(result, CallToolResult) and not result.is_error
    assert (await server.guidance.host_state()).loaded
    await server.aclose()
