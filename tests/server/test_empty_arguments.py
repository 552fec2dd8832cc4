"""An optional argument that a host or a proxy fills in with an empty value is an argument that is left out."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from mcp.types import CallToolResult, Tool

from ollama_mcp.simulator import Simulator
from tests.support import connected, error, texts

MODEL = "llama3.2:3b"
EMBEDDER = "nomic-embed-text:latest"
DIGEST = "sha256:" + "0" * 64
EXAMPLES = Path(__file__).with_name("labelled.csv")
READ = {"text_folders": [str(EXAMPLES.parent)]}
QUESTION = {"question": "Is it urgent?", "labels": ["yes", "no"]}

# What makes each tool's call valid by itself; every other argument is filled in.
NEEDED: dict[str, dict[str, Any]] = {
    "ollama_batch": {"input": ["one", "two"], "prompt": "Say {text}", "model": MODEL},
    "ollama_chat": {"prompt": "Hi"},
    "ollama_check_blob": {"digest": DIGEST},
    "ollama_compare": {"models": [MODEL, "gemma3:4b"], "prompt": "Hi"},
    "ollama_copy_model": {"source": MODEL, "destination": "mine"},
    "ollama_create_model": {"model": "mine", "from": MODEL},
    "ollama_decide": {"questions": [QUESTION], "texts": ["Fire!"]},
    "ollama_delete_model": {"model": MODEL},
    "ollama_embed": {"input": ["one", "two"]},
    "ollama_embeddings": {"prompt": ""},
    "ollama_evaluate": {"examples": str(EXAMPLES), "questions": [QUESTION], "models": [MODEL]},
    "ollama_generate": {"prompt": "Hi"},
    "ollama_load_model": {"model": MODEL},
    "ollama_pull_model": {"model": MODEL},
    "ollama_push_blob": {"data": base64.b64encode(b"blob").decode()},
    "ollama_push_model": {"model": "me/mine"},
    "ollama_search": {"query": "cat", "texts": ["A cat.", "A dog."]},
    "ollama_show_model": {"model": MODEL},
    "ollama_unload_model": {"model": MODEL},
    "ollama_web_fetch": {"url": "https://example.com"},
    "ollama_web_search": {"query": "cats"},
}
# Here an empty value is a value: unload at once, no rows at all.
MEANT = {"keep_alive": ("0",), "limit": (0,)}
EMPTY: dict[str, list[Any]] = {
    "string": [""],
    "integer": [0, ""],
    "number": [0, ""],
    "boolean": [False, ""],
    "array": [[], "", {}],
    "object": [{}, "", []],
}


def _optional(tool: Tool) -> dict[str, list[Any]]:
    """The optional arguments of a tool, and the empty values of the types that each takes."""
    schema = tool.input_schema
    found: dict[str, list[Any]] = {}
    for name, argument in schema["properties"].items():
        if name not in schema["required"] and name not in NEEDED.get(tool.name, {}):
            kinds = [branch["type"] for branch in argument.get("anyOf", [argument])]
            values = [value for kind in kinds for value in EMPTY[kind]]
            found[name] = [value for value in values if value not in MEANT.get(name, ()) or value is False]
    return found


def _is_refused(result: CallToolResult) -> bool:
    return bool(result.is_error) and texts(result)[0].startswith(("[invalid_argument]", "[internal]"))


async def test_each_optional_argument_of_each_tool_may_be_given_empty(simulator: Simulator, tmp_path: Path):
    wrong: list[tuple[str, str, Any, str]] = []
    everything: dict[str, Any] = {"audio": {"enabled": True}, "tools": {"toolsets": ["all"]}, "read": READ}
    async with connected(simulator.url, **everything) as client:
        tools = (await client.list_tools()).tools
        assert set(NEEDED) < {tool.name for tool in tools}
        for tool in tools:
            needed = NEEDED.get(tool.name, {})
            plain = await client.call_tool(tool.name, needed)
            assert not _is_refused(plain), texts(plain)
            for name, values in _optional(tool).items():
                for value in values:
                    result = await client.call_tool(tool.name, {**needed, name: value})
                    if _is_refused(result):
                        wrong.append((tool.name, name, value, texts(result)[0]))
    assert not wrong, wrong


async def test_all_optional_arguments_may_be_given_empty_at_once(simulator: Simulator):
    wrong: list[tuple[str, str]] = []
    async with connected(simulator.url, audio={"enabled": True}, tools={"toolsets": ["all"]}, read=READ) as client:
        for tool in (await client.list_tools()).tools:
            filled = {name: values[0] for name, values in _optional(tool).items() if values}
            result = await client.call_tool(tool.name, {**filled, **NEEDED.get(tool.name, {})})
            if _is_refused(result):
                wrong.append((tool.name, texts(result)[0]))
    assert not wrong, wrong


async def test_what_is_left_out_reaches_ollama_as_left_out(simulator: Simulator):
    filled = {"model": MODEL, "format": {}, "think": "", "keep_alive": "", "options": {"num_ctx": 0, "stop": ""}}
    async with connected(simulator.url) as client:
        assert not (await client.call_tool("ollama_chat", {"prompt": "Hi", **filled})).is_error
        body = next(seen.json for seen in simulator.requests if seen.path == "/api/chat")
        plain = await client.call_tool("ollama_chat", {"prompt": "Hi", "model": MODEL})
    assert not plain.is_error
    assert body == simulator.requests[-1].json


MEANINGFUL: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"keep_alive": 0}, {"keep_alive": 0}),
    ({"keep_alive": "0"}, {"keep_alive": 0}),
    ({"think": 0}, {"think": False}),
    ({"options": {"seed": 0, "temperature": 0, "top_k": 0}}, {"options": {"seed": 0, "temperature": 0, "top_k": 0}}),
]


@pytest.mark.parametrize(("given", "sent"), MEANINGFUL)
async def test_an_empty_value_that_means_something_is_kept(
    simulator: Simulator, given: dict[str, Any], sent: dict[str, Any]
):
    async with connected(simulator.url) as client:
        assert not (await client.call_tool("ollama_generate", {"model": MODEL, "prompt": "Hi", **given})).is_error
    body = next(seen.json for seen in simulator.requests if seen.path == "/api/generate")
    assert {name: body[name] for name in sent} == sent


async def test_empty_members_of_nested_arguments_are_left_out_too(simulator: Simulator):
    message: dict[str, Any] = {"role": "user", "content": "Hi", "images": "", "tool_calls": {}, "tool_name": ""}
    function = {"name": "now", "description": "", "parameters": ""}
    question = {**QUESTION, "levels": "", "type": "", "name": ""}
    async with connected(simulator.url) as client:
        chat = await client.call_tool("ollama_chat", {"model": MODEL, "messages": [message], "tools": [function]})
        decide = await client.call_tool("ollama_decide", {"questions": [question], "texts": ["Fire!"]})
    assert not chat.is_error, texts(chat)
    assert not decide.is_error, texts(decide)


async def test_a_required_argument_may_not_be_empty(simulator: Simulator):
    async with connected(simulator.url) as client:
        wrong: list[tuple[str, dict[str, Any], str]] = [
            ("ollama_show_model", {"model": ""}, "model is empty"),
            ("ollama_generate", {"prompt": ""}, "prompt"),
            ("ollama_embed", {"input": []}, "input"),
        ]
        for tool, given, words in wrong:
            assert words in error(await client.call_tool(tool, given), "invalid_argument")
        # Zero rows are not all rows.
        result = await client.call_tool("ollama_batch", {"input": ["one", "two"], "prompt": "{text}", "limit": 0})
    assert "limit is 0. Leave it out for all rows" in error(result, "invalid_argument")


@pytest.mark.parametrize("dummy", ["random_string", "_", "dummy"])
async def test_a_tool_without_arguments_ignores_the_dummy_of_a_host(simulator: Simulator, dummy: str):
    async with connected(simulator.url) as client:
        for tool in ("ollama_status", "ollama_list_running"):
            assert not (await client.call_tool(tool, {dummy: "x"})).is_error
        # Where there are arguments, it may be a misspelt one.
        refused = error(await client.call_tool("ollama_list_models", {dummy: "x"}), "invalid_argument")
        other = error(await client.call_tool("ollama_list_running", {"model": MODEL}), "invalid_argument")
    assert f"has no argument {dummy}" in refused
    assert other.endswith("ollama_list_running has no argument model. It takes no arguments.")


async def test_an_argument_that_is_off_may_be_given_empty(simulator: Simulator):
    async with connected(simulator.url) as client:
        assert not (await client.call_tool("ollama_chat", {"prompt": "Hi", "model": MODEL, "audio": []})).is_error
        refused = await client.call_tool("ollama_chat", {"prompt": "Hi", "model": MODEL, "audio": ["a.wav"]})
    assert "audio is off in the settings" in error(refused, "invalid_argument")
