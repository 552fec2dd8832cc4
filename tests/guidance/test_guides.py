"""The guides hold what the code does: options, errors, endpoints, arguments, limits."""

import re
from typing import Any

import pytest
from mcp.types import TextResourceContents

from ollama_mcp.errors import KINDS
from ollama_mcp.formats.options import OPTIONS, TOP_LEVEL_OPTIONS
from ollama_mcp.server.guidance.guides import ENDPOINTS, GUIDES
from ollama_mcp.simulator import Simulator
from tests.guidance.helpers import calls_in
from tests.support import connected, error

ALL: dict[str, Any] = {
    "tools": {"toolsets": ["all"]},
    "web": True,
    "policy": {"push": "allow", "delete": "allow", "unload": "allow"},
}
MODEL = "llama3.2:3b"
BLOB = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
CALLS: dict[str, dict[str, Any]] = {
    "ollama_chat": {"model": MODEL, "prompt": "Hi"},
    "ollama_generate": {"model": MODEL, "prompt": "Hi"},
    "ollama_embed": {"model": "nomic-embed-text", "input": ["a"]},
    "ollama_embeddings": {"model": "nomic-embed-text", "prompt": "a"},
    "ollama_list_models": {},
    "ollama_show_model": {"model": MODEL},
    "ollama_list_running": {},
    "ollama_load_model": {"model": MODEL},
    "ollama_unload_model": {"model": "nomic-embed-text"},
    "ollama_pull_model": {"model": "smollm2:135m"},
    "ollama_create_model": {"model": "pirate", "from": MODEL, "system": "Arr."},
    "ollama_copy_model": {"source": MODEL, "destination": "mine"},
    "ollama_delete_model": {"model": MODEL},
    "ollama_push_model": {"model": MODEL},
    "ollama_check_blob": {"digest": BLOB},
    "ollama_push_blob": {"data": "aGVsbG8="},
    "ollama_status": {},
    "ollama_web_search": {"query": "ollama"},
    "ollama_web_fetch": {"url": "https://example.com"},
}


async def _guide(simulator: Simulator, name: str, **settings: Any) -> str:
    async with connected(simulator.url, **settings) as client:
        (content,) = (await client.read_resource(f"ollama://guides/{name}")).contents
    assert isinstance(content, TextResourceContents)
    assert content.text.startswith("# ")
    return content.text


async def test_the_options_guide_has_every_option_with_its_range(simulator: Simulator):
    text = await _guide(simulator, "options")
    for option in OPTIONS.values():
        assert f"| `{option.name}` | {option.allowed} | {option.default} |" in text
        assert option.meaning in text
    assert all(f"| `{name}` |" in text for name in TOP_LEVEL_OPTIONS)


async def test_the_options_of_the_settings_are_said(simulator: Simulator):
    assert "none by default" in await _guide(simulator, "options")
    assert "{'seed': 7}" in await _guide(simulator, "options", defaults={"options": {"seed": 7}})


async def test_the_options_guide_says_that_the_context_is_chosen_and_up_to_which_limit(simulator: Simulator):
    text = await _guide(simulator, "options", limits={"num_ctx": 12_345})
    assert "Leave num_ctx out" in text and "at most 12,345 tokens (limits.num_ctx)" in text


async def test_the_errors_guide_has_every_kind_and_a_way_out(simulator: Simulator):
    text = await _guide(simulator, "errors")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", text, re.MULTILINE)
    assert {kind for kind, _, _ in rows} == set(KINDS)
    assert all(meaning.endswith(".") and way_out.endswith(".") for _, meaning, way_out in rows)


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_the_api_guide_says_which_endpoint_a_tool_really_uses(simulator: Simulator, name: str):
    async with connected(simulator.url, **ALL) as client:
        if name == "ollama_unload_model":
            # By the endpoint of embeddings, so that it is not taken for what unloads.
            await client.call_tool("ollama_load_model", CALLS[name])
        await client.call_tool(name, CALLS[name])
        if name == "ollama_delete_model":
            await client.call_tool(name, {**CALLS[name], "confirm": True})
    used = {(seen.method, re.sub(r"sha256:\w+", ":digest", seen.path)) for seen in simulator.requests}
    told = {(method, path) for method, path, tool, _ in ENDPOINTS if tool == name}
    assert told and told <= used


async def test_the_api_guide_names_all_tools_that_are_an_operation_of_the_api(simulator: Simulator):
    text = await _guide(simulator, "api")
    assert {tool for _, _, tool, _ in ENDPOINTS} == set(CALLS)
    assert all(f"`{tool}`" in text for tool in CALLS)


async def test_calls_in_guides_have_arguments_that_the_tools_take(simulator: Simulator):
    async with connected(simulator.url, **ALL) as client:
        schemas = {tool.name: tool.input_schema["properties"] for tool in (await client.list_tools()).tools}
    for uri in GUIDES:
        text = await _guide(simulator, uri.rpartition("/")[2])
        for tool, arguments in calls_in(text):
            assert set(arguments) <= set(schemas[tool]), (uri, tool)
        assert set(re.findall(r"\bollama_[a-z_]+", text)) <= set(schemas), uri


async def test_the_modelfile_guide_names_arguments_that_exist_and_its_example_works(simulator: Simulator):
    text = await _guide(simulator, "modelfile")
    named = re.findall(r"^\| `[A-Z, ]+` \| (.+?) \|", text, re.MULTILINE)
    async with connected(simulator.url) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        known = set(tools["ollama_create_model"].input_schema["properties"])
        assert len(named) == 8 and {one for cell in named for one in re.findall(r"`(\w+)`", cell)} <= known
        for tool, arguments in calls_in(text):
            assert not (await client.call_tool(tool, arguments)).is_error


async def test_the_example_of_structured_output_works_and_its_bounds_are_the_real_ones(simulator: Simulator):
    text = await _guide(simulator, "structured-output")
    ((tool, arguments),) = calls_in(text)
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(40):
        deep = {"type": "array", "items": deep}
    async with connected(simulator.url) as client:
        assert not (await client.call_tool(tool, arguments)).is_error
        refused = await client.call_tool(tool, {**arguments, "format": deep})
    assert "32 levels" in error(refused, "invalid_argument") and "32 levels" in text


async def test_the_vision_guide_gives_the_limits_of_the_settings(simulator: Simulator):
    text = await _guide(simulator, "vision", images={"max_count": 3, "max_edge": 800}, urls={"enabled": True})
    assert "| images in a call | 3 |" in text
    assert "| 800 pixels;" in text
    assert "are fetched" in text
