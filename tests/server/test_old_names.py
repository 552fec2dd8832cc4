"""A tool that was renamed: its old name is taken for a version, in calls and settings, and listed nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.settings.model import OLD_TOOL_NAMES
from ollama_mcp.simulator import Simulator
from tests.cli.support import run
from tests.security.team import team_at
from tests.support import connected, data, error

ASKED: dict[str, Any] = {"query": "cat", "texts": ["A cat.", "A dog."], "mode": "words"}
OLD, NEW = "ollama_rank", "ollama_search"


async def test_a_call_by_the_old_name_is_a_call_of_the_tool(simulator: Simulator):
    async with connected(simulator.url) as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert set(OLD_TOOL_NAMES.values()) <= listed and not listed & OLD_TOOL_NAMES.keys()
        assert data(await client.call_tool(OLD, ASKED)) == data(await client.call_tool(NEW, ASKED))


@pytest.mark.parametrize("name", [OLD, NEW])
async def test_settings_take_both_names(simulator: Simulator, name: str):
    async with connected(simulator.url, tools={"exclude": [name]}) as client:
        listed = await client.list_tools()
        assert NEW not in {tool.name for tool in listed.tools}
        assert NEW not in (client.instructions or "")
        for asked in (OLD, NEW):
            error(await client.call_tool(asked, ASKED), "not_allowed")
    async with connected(
        simulator.url, tools={"toolsets": ["models"], "include": [name], "always_load": [name]}
    ) as client:
        [tool] = [tool for tool in (await client.list_tools()).tools if tool.name == NEW]
        assert tool.meta is not None and tool.meta["anthropic/alwaysLoad"]


async def test_a_scope_holds_for_the_old_name(simulator: Simulator, tmp_path: Path):
    async with team_at(simulator.url, tmp_path) as team:
        async with team.client("reader", "legacy") as client:
            error(await client.call_tool(OLD, ASKED), "not_allowed")
        async with team.client("user", "legacy") as client:
            assert data(await client.call_tool(OLD, ASKED))["rows"]


async def test_the_command_line_describes_the_tool_by_its_old_name():
    ran = await run("call", OLD, "--help")
    assert ran.code == 0 and ran.out.startswith(NEW), ran.err
