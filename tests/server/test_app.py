"""The server as a whole: loading, selection, its own tools, instructions, failures on our side."""

import logging
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.server.instructions import build_instructions
from ollama_mcp.settings import Settings, SettingsError
from ollama_mcp.settings.model import TOOLSETS
from ollama_mcp.simulator import Simulator
from tests.support import connected, error, text, texts

GOOD = '''
from ollama_mcp import READS, Call, tool

@tool(title="Say hello", toolset="mine", hints=READS)
async def my_hello(call: Call, name: str = "you") -> str:
    """Say hello to somebody.

    What stands below the first paragraph is for readers of the code.
    """
    print("this must not reach stdout")
    return f"Hello {name} from {call.tool}."

@tool(title="Break", toolset="mine", hints=READS)
async def my_break() -> str:
    """Fail on purpose."""
    raise KeyError("secret detail")

@tool(title="Shadow", toolset="mine", hints=READS)
async def ollama_chat() -> str:
    """Try to replace a built-in tool."""
    return "mine"
'''


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "hello.py").write_text(GOOD, encoding="utf-8")
    (tmp_path / "broken.py").write_text("import no_such_module\n", encoding="utf-8")
    (tmp_path / "_private.py").write_text("raise RuntimeError\n", encoding="utf-8")
    return str(tmp_path)


async def test_a_users_folder_adds_tools(simulator: Simulator, folder: str, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        async with connected(simulator.url, tools={"folders": [folder]}) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert tools["my_hello"].description == "Say hello to somebody."
            assert text(await client.call_tool("my_hello", {"name": "Ada"})) == "Hello Ada from my_hello."
            chat = await client.call_tool("ollama_chat", {"model": "llama3.2:3b", "prompt": "Hi"})
            assert texts(chat) != ["mine"]
    skipped = [record.getMessage() for record in caplog.records if "skipped" in record.getMessage()]
    assert len(skipped) == 2
    assert "broken.py is skipped: ModuleNotFoundError: No module named 'no_such_module'" in skipped[0]
    assert "'ollama_chat'" in skipped[1]


async def test_a_failure_on_our_side_tells_no_details_and_is_logged(
    simulator: Simulator, folder: str, caplog: pytest.LogCaptureFixture
):
    async with connected(simulator.url, tools={"folders": [folder]}) as client:
        said = error(await client.call_tool("my_break", {}), "internal")
        assert "KeyError" in said and "secret detail" not in said
        assert not (await client.call_tool("ollama_status", {})).is_error
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ({"toolsets": ["inferenc"]}, ["tools.toolsets", "'inferenc'", "Did you mean 'inference'?"]),
        ({"toolsets": ["zzz"]}, ["Available: inference, models"]),
    ],
)
def test_a_toolset_that_does_not_exist_stops_the_start(tools: dict[str, Any], words: list[str]):
    with pytest.raises(SettingsError) as caught:
        OllamaServer(Settings.model_validate({"tools": tools}))
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("setting", ["include", "exclude", "always_load"])
def test_a_tool_that_does_not_exist_stops_the_start(setting: str):
    with pytest.raises(SettingsError, match="Did you mean 'ollama_chat'"):
        OllamaServer(Settings.model_validate({"tools": {setting: ["ollama_caht"]}}))


@pytest.mark.parametrize(
    ("defaults", "words"),
    [
        ({"model": "a b"}, ["setting defaults.model", "'a b'"]),
        ({"keep_alive": "abc"}, ["setting defaults.keep_alive", "'abc'", "10m"]),
        ({"options": {"temprature": 1}}, ["setting defaults.options", "Did you mean 'temperature'?"]),
        ({"options": {"truncate": 1}}, ["setting defaults.options", "true or false"]),
    ],
)
def test_a_default_that_no_call_could_use_stops_the_start(defaults: dict[str, Any], words: list[str]):
    with pytest.raises(SettingsError) as caught:
        OllamaServer(Settings.model_validate({"defaults": defaults}))
    assert all(word in str(caught.value) for word in words)


def test_instructions_are_short_and_fit_what_is_offered():
    whole = build_instructions(TOOLSETS, Settings())
    assert len(whole) <= 1_200
    assert "ollama_chat" in whole and "confirm=true" in whole
    reading = build_instructions(TOOLSETS, Settings(read_only=True))
    assert "Read-only" in reading and "ollama_pull_model" not in reading
    assert "ollama_list_models" not in build_instructions(["inference"], Settings())


async def test_errors_name_only_tools_that_are_offered(simulator: Simulator):
    async with connected(simulator.url, tools={"toolsets": ["inference"]}) as client:
        said = error(await client.call_tool("ollama_chat", {"model": "lama3", "prompt": "x"}), "model_not_found")
    assert "Closest: 'llama3.2:3b'." in said
    assert "ollama_pull_model" not in said and "ollama_list_models" not in said


async def test_the_server_introduces_itself(simulator: Simulator):
    async with connected(simulator.url, mode="legacy") as client:
        assert client.server_info is not None
        assert (client.server_info.name, client.server_info.title) == ("ollama", "Ollama")
        assert client.server_info.version
        assert client.instructions and client.instructions.startswith("Run local models")
