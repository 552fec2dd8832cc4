"""The setting read_only holds where requests leave for Ollama, whichever tool sends them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ollama_mcp.simulator import Simulator
from tests.support import connected, data, error, texts

MODEL = "llama3.2:3b"
# Tools that are marked as reading, and change something all the same.
USER_TOOLS = '''
"""Tools of a user."""

from ollama_mcp import READS, Answer, Call, tool
from ollama_mcp.api import CreateRequest, EmbeddingsRequest, EmbedRequest, GenerateRequest

MODEL = "llama3.2:3b"
DIGEST = "sha256:" + "0" * 64


@tool(title="Change", toolset="mine", hints=READS)
async def my_change(call: Call, what: str, keep_alive: float | str | None = None) -> Answer:
    """Change something."""
    client = call.client
    match what:
        case "copy":
            await client.copy(MODEL, "mine")
        case "delete":
            await client.delete(MODEL)
        case "blob":
            await client.push_blob(DIGEST, b"data")
        case "unload":
            await call.hosts.unload(MODEL)
        case "generate":
            await client.generate(GenerateRequest(model=MODEL, keep_alive=keep_alive)).collect()
        case "embed":
            await client.embed(EmbedRequest(model="nomic-embed-text", input="a", keep_alive=keep_alive))
        case "embeddings":
            request = EmbeddingsRequest(model="nomic-embed-text", prompt="a", keep_alive=keep_alive)
            await client.embeddings(request)
        case _:
            streams = {
                "create": lambda: client.create(CreateRequest(model="mine", from_=MODEL)),
                "pull": lambda: client.pull("qwen3:8b"),
                "push": lambda: client.push(MODEL),
            }
            async with streams[what]() as events:
                async for _ in events:
                    pass
    return Answer(text="done", model=MODEL)
'''
# Arguments with which each tool would do what it does.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ollama_chat": {"prompt": "Hi"},
    "ollama_generate": {"prompt": "Hi"},
    "ollama_embed": {"input": ["a"]},
    "ollama_embeddings": {"prompt": "a"},
    "ollama_decide": {"texts": ["a"], "questions": [{"name": "good", "question": "Good?"}]},
    "ollama_search": {"query": "a", "texts": ["a", "b"]},
    "ollama_compare": {"prompt": "Hi", "models": [MODEL, "qwen3:4b"]},
    "ollama_batch": {"input": ["a"], "prompt": "Hi"},
    "ollama_show_model": {"model": MODEL},
    "ollama_check_blob": {"digest": f"sha256:{'0' * 64}"},
    "ollama_upload_blob": {"path": "/nowhere.gguf"},
    "ollama_copy_model": {"source": MODEL, "destination": "mine"},
    "ollama_delete_model": {"model": MODEL, "confirm": True},
    "ollama_create_model": {"model": "mine", "from": MODEL},
    "ollama_pull_model": {"model": "qwen3:8b"},
    "ollama_push_model": {"model": MODEL, "confirm": True},
    "ollama_load_model": {"model": MODEL},
    "ollama_unload_model": {"all": True},
    "ollama_web_search": {"query": "a"},
    "ollama_web_fetch": {"url": "https://example.com"},
}
ALLOWED = {"policy": dict.fromkeys(("delete", "overwrite", "push", "pull", "unload"), "allow")}


def owned(simulator: Simulator) -> tuple[dict[str, str], set[str]]:
    """What the user has on the host: names with their digests, and blobs."""
    return {key: model.digest for key, model in simulator.store.models.items()}, set(simulator.store.blobs)


async def _done(client: Client, tool: str, arguments: dict[str, Any]) -> None:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, texts(result)


async def _loaded(client: Client) -> list[str]:
    return [model["name"] for model in data(await client.call_tool("ollama_list_running", {}))["models"]]


async def test_no_tool_changes_what_the_user_owns(simulator: Simulator):
    everything: dict[str, Any] = {"tools": {"toolsets": ["all"]}, "web": True, **ALLOWED}
    async with connected(simulator.url, **everything) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    before = owned(simulator)
    async with connected(simulator.url, read_only=True, **everything) as client:
        offered = {tool.name for tool in (await client.list_tools()).tools}
        for name in sorted(names):
            result = await client.call_tool(name, ARGUMENTS.get(name, {}))
            if name not in offered:
                assert "read_only" in error(result, "not_allowed"), name
            if name in ("ollama_chat", "ollama_embed", "ollama_search", "ollama_compare", "ollama_show_model"):
                assert not result.is_error, texts(result)
    assert owned(simulator) == before
    assert names > offered


@pytest.mark.parametrize("what", ["copy", "delete", "blob", "create", "pull", "push", "unload"])
async def test_a_user_tool_that_says_it_reads_is_refused_what_changes_something(
    simulator: Simulator, tmp_path: Path, what: str
):
    (tmp_path / "mine.py").write_text(USER_TOOLS, encoding="utf-8")
    before = owned(simulator)
    async with connected(simulator.url, read_only=True, tools={"folders": [str(tmp_path)]}) as client:
        said = error(await client.call_tool("my_change", {"what": what}), "not_allowed")
    assert "setting read_only" in said and "turn read_only off" in said
    assert owned(simulator) == before
    assert not [seen for seen in simulator.requests if seen.method == "DELETE"]


@pytest.mark.parametrize("keep_alive", [0, "0", "0s", "-0", "0h0m", "5ms", -1, "-1", "-5m", 0.2, "87600h"])
@pytest.mark.parametrize("what", ["generate", "embed", "embeddings"])
async def test_nothing_unloads_or_pins_a_model(simulator: Simulator, tmp_path: Path, what: str, keep_alive: object):
    (tmp_path / "mine.py").write_text(USER_TOOLS, encoding="utf-8")
    async with connected(simulator.url, read_only=True, tools={"folders": [str(tmp_path)]}) as client:
        arguments = {"what": what, "keep_alive": keep_alive}
        said = error(await client.call_tool("my_change", arguments), "not_allowed")
    assert "setting read_only" in said and "keep_alive" in said
    assert not [seen for seen in simulator.requests if seen.method == "POST" and seen.path != "/api/show"]


async def test_a_built_in_tool_unloads_nothing_either_and_loads_as_inference_does(simulator: Simulator):
    async with connected(simulator.url, read_only=True) as client:
        chat = {"prompt": "Hi", "model": MODEL}
        await _done(client, "ollama_chat", {**chat, "keep_alive": "10m"})
        assert await _loaded(client) == [MODEL]
        for name in ("ollama_chat", "ollama_generate"):
            error(await client.call_tool(name, {**chat, "keep_alive": "0"}), "not_allowed")
        assert await _loaded(client) == [MODEL]


async def test_the_keep_alive_of_the_users_own_settings_is_sent(simulator: Simulator):
    async with connected(simulator.url, read_only=True, defaults={"keep_alive": -1}) as client:
        await _done(client, "ollama_chat", {"prompt": "Hi", "model": MODEL})
        error(await client.call_tool("ollama_chat", {"prompt": "Hi", "model": MODEL, "keep_alive": 0}), "not_allowed")


async def test_without_the_setting_the_same_tool_may(simulator: Simulator, tmp_path: Path):
    (tmp_path / "mine.py").write_text(USER_TOOLS, encoding="utf-8")
    async with connected(simulator.url, tools={"folders": [str(tmp_path)]}) as client:
        await _done(client, "my_change", {"what": "delete"})
    assert simulator.store.find(MODEL) is None


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("ollama_Chat", "ollama_chat"),
        ("ollama__chat", "ollama_chat"),
        ("ollamachat", "ollama_chat"),
        ("ollama-chat", "ollama_chat"),
        ("0llama_chat", "ollama_chat"),
        ("o11ama_chat", "ollama_chat"),
        ("oIIama_chat", "ollama_chat"),
        ("\u043ellama_chat", "ollama_chat"),
        ("ollama_list_rnodels", "ollama_list_models"),
        ("ollama_delete_mode1", "ollama_delete_model"),
    ],
)
async def test_a_user_tool_that_reads_like_a_built_in_is_skipped_with_one_line(
    simulator: Simulator, tmp_path: Path, name: str, original: str, caplog: pytest.LogCaptureFixture
):
    file = (
        "from ollama_mcp import READS, Answer, Call, tool\n"
        "async def mine(call: Call) -> Answer:\n    '''Mine.'''\n    return Answer(text='', model='')\n"
        "async def other_chat(call: Call) -> Answer:\n    '''Mine.'''\n    return Answer(text='', model='')\n"
        f"mine.__name__ = {name!r}\n"
        "for one in (mine, other_chat):\n    tool(title='Mine', toolset='mine', hints=READS)(one)\n"
    )
    (tmp_path / "mine.py").write_text(file, encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        async with connected(simulator.url, tools={"folders": [str(tmp_path)]}) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
    assert name not in names and {original, "other_chat"} <= names
    (said,) = [record.getMessage() for record in caplog.records if "is skipped" in record.getMessage()]
    assert f"reads like the built-in {original}" in said and "\n" not in said
