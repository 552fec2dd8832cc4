"""A next step survives the names in it: only one that names a tool which the settings leave out is dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from ollama_mcp.simulator import Simulator
from tests.support import connected, error, texts


@pytest.mark.parametrize("name", ["ollama_project", "ollama_pull_model", "ollama_mcp_server"])
async def test_a_folder_named_like_a_tool_does_not_swallow_the_command(simulator: Simulator, tmp_path: Path, name: str):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "a.txt").write_text("x", encoding="utf-8")
    async with connected(simulator.url, tools={"exclude": ["ollama_pull_model"]}) as client:
        result = await client.call_tool("ollama_chat", {"prompt": "x", "files": [str(folder / "a.txt")]})
    said = error(result, "not_allowed")
    assert f"allow {folder}`; it takes effect at once." in said


async def test_a_model_named_like_a_tool_can_be_downloaded(simulator: Simulator):
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_chat", {"prompt": "x", "model": "ollama_mine"})
    assert "ollama_pull_model(model='ollama_mine') downloads it" in error(result, "model_not_found")


async def test_a_tool_that_is_not_offered_is_not_advised(simulator: Simulator):
    async with connected(simulator.url, tools={"exclude": ["ollama_pull_model"]}) as client:
        result = await client.call_tool("ollama_chat", {"prompt": "x", "model": "nope"})
    said = error(result, "model_not_found")
    assert "ollama_pull_model" not in said and "ollama_list_models" in said


async def test_a_note_does_not_advise_it_either():
    async with Simulator(models=()) as simulator:
        for read_only in (False, True):
            async with connected(simulator.url, read_only=read_only) as client:
                result = await client.call_tool("ollama_list_models", {})
            assert any("ollama_pull_model" in said for said in texts(result)) is not read_only
            assert "No model is installed." in texts(result)[0]
