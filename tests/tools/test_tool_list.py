"""Rules that hold for all tools, seen through a real client."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from mcp.types import Tool

from ollama_mcp.cli.tools import tool_list_tokens
from ollama_mcp.simulator import Simulator
from tests.support import connected, error

ALL = {"tools": {"toolsets": ["all"]}}


async def _tools(simulator: Simulator, **settings: Any) -> list[Tool]:
    async with connected(simulator.url, **settings) as client:
        return list((await client.list_tools()).tools)


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, list):
        for item in schema:  # pyright: ignore[reportUnknownVariableType]
            yield from _nodes(item)
    elif isinstance(schema, dict):
        node: dict[str, Any] = schema  # pyright: ignore[reportUnknownVariableType]
        yield node
        for key, value in node.items():
            children = list(value.values()) if key == "properties" else value if key not in ("enum", "default") else []
            yield from _nodes(children)


async def test_names_are_short_and_speak_for_themselves_in_every_host(simulator: Simulator):
    for tool in await _tools(simulator, **ALL):
        assert re.fullmatch(r"ollama_[a-z_]{2,25}", tool.name), tool.name
        assert tool.title, tool.name


async def test_descriptions_are_one_line_of_at_most_sixty_words(simulator: Simulator):
    for tool in await _tools(simulator, **ALL):
        assert tool.description and "\n" not in tool.description, tool.name
        assert len(tool.description.split()) <= 60, tool.name
        assert len(tool.description) <= 600, tool.name
        assert not re.search(r"\b(MUST|IMPORTANT|CRITICAL|NEVER|ALWAYS)\b", tool.description), tool.name


async def test_every_argument_is_described_in_its_tool_or_in_another_or_says_it_by_its_name(simulator: Simulator):
    everything = {"audio": {"enabled": True}, "urls": {"enabled": True}, **ALL}
    arguments = [
        (name, argument, tool.name)
        for tool in await _tools(simulator, **everything)
        for name, argument in tool.input_schema["properties"].items()
    ]
    by_name = {"license", "overwrite", "goal", "judge", "profile", "show_failures"}
    described = {name for name, argument, _ in arguments if argument.get("description")} | by_name
    for name, _, tool in arguments:
        assert name in described, f"{tool}.{name}"


async def test_all_four_hints_are_explicit_and_agree(simulator: Simulator):
    for tool in await _tools(simulator, **ALL):
        hints = tool.annotations
        assert hints is not None, tool.name
        values = (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint)
        assert all(isinstance(value, bool) for value in values), tool.name
        assert not (hints.read_only_hint and hints.destructive_hint), tool.name


async def test_inference_opens_to_the_world_only_when_urls_may_be_fetched(simulator: Simulator):
    closed = {tool.name: tool.annotations for tool in await _tools(simulator)}
    opened = {tool.name: tool.annotations for tool in await _tools(simulator, urls={"enabled": True})}
    assert closed["ollama_chat"] and closed["ollama_chat"].open_world_hint is False
    assert opened["ollama_chat"] and opened["ollama_chat"].open_world_hint is True


async def test_schemas_hold_nothing_that_some_host_refuses(simulator: Simulator):
    for tool in await _tools(simulator, **ALL):
        root = tool.input_schema
        assert root["type"] == "object" and "additionalProperties" not in root
        assert isinstance(root["required"], list) and isinstance(root["properties"], dict)
        assert not {"anyOf", "oneOf", "allOf", "not"} & set(root), tool.name
        for schema in (root, tool.output_schema or {}):
            for node in _nodes(schema):
                assert not {"$ref", "$defs", "const", "title", "oneOf", "allOf"} & set(node), (tool.name, node)
                assert not isinstance(node.get("type"), list), (tool.name, node)
                # Open: a host that checks arguments itself leaves an unknown one to our error.
                assert node.get("additionalProperties", True) is not False, (tool.name, node)
                assert node.get("type") != "null", (tool.name, node)
                assert node.get("default", 0) is not None, (tool.name, node)
                for branch in node.get("anyOf", []):
                    assert "type" in branch and "anyOf" not in branch, (tool.name, node)
                if node.get("type") == "array":
                    assert node["items"].get("type") or node["items"].get("anyOf"), (tool.name, node)
        for node in _nodes(root):
            if node.get("type") == "object" and node is not root:
                assert node.get("properties"), (tool.name, node)


async def test_the_list_is_the_same_each_time(simulator: Simulator):
    first, second = await _tools(simulator), await _tools(simulator)
    assert first == second


async def test_the_default_list_fits_its_budget_of_tokens(simulator: Simulator):
    tools = await _tools(simulator)
    cost = {tool.name: tool_list_tokens(tool) for tool in tools}
    assert sum(cost.values()) <= 4_000
    assert cost["ollama_chat"] <= 700


async def test_answers_have_no_output_schema_and_data_tools_have_one(simulator: Simulator):
    answers = {tool.name for tool in await _tools(simulator, **ALL) if tool.output_schema is None}
    # A job's result is that of another tool, an answer too.
    assert answers == {"ollama_chat", "ollama_generate", "ollama_job"}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_both_protocol_eras_see_the_same_tools(simulator: Simulator, mode: str):
    async with connected(simulator.url, mode=mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
    assert names == [tool.name for tool in await _tools(simulator)]


async def test_read_only_offers_nothing_that_changes_anything(simulator: Simulator):
    tools = await _tools(simulator, read_only=True, tools={"toolsets": ["all"], "include": ["ollama_delete_model"]})
    assert {tool.name for tool in tools} == {
        "ollama_chat",
        "ollama_check_blob",
        "ollama_compare",
        "ollama_search",
        "ollama_decide",
        "ollama_embed",
        "ollama_embeddings",
        "ollama_evaluate",
        "ollama_generate",
        "ollama_job",
        "ollama_list_models",
        "ollama_list_running",
        "ollama_show_model",
        "ollama_status",
        "ollama_web_fetch",
        "ollama_web_search",
    }


async def test_a_tool_that_writes_nothing_but_output_only_reads_where_output_is_not_offered(simulator: Simulator):
    async def compare(**settings: Any) -> Tool:
        return next(tool for tool in await _tools(simulator, **settings) if tool.name == "ollama_compare")

    usual, reading = await compare(), await compare(read_only=True)
    assert usual.annotations and not usual.annotations.read_only_hint and usual.annotations.destructive_hint
    assert reading.annotations and reading.annotations.read_only_hint and not reading.annotations.destructive_hint
    assert "output" in usual.input_schema["properties"] and "output" not in reading.input_schema["properties"]


async def test_toolsets_single_tools_and_exclusions_compose(simulator: Simulator):
    chosen = {"toolsets": ["inference"], "include": ["ollama_status"], "exclude": ["ollama_embed"]}
    names = [tool.name for tool in await _tools(simulator, tools=chosen)]
    assert names == ["ollama_chat", "ollama_generate", "ollama_status"]


async def test_no_tool_that_runs_a_model_needs_it_named(simulator: Simulator):
    runs = ("ollama_chat", "ollama_generate", "ollama_embed", "ollama_embeddings")
    tools = {tool.name: tool for tool in await _tools(simulator, **ALL)}
    assert not [name for name in runs if "model" in tools[name].input_schema["required"]]


async def test_the_web_tools_come_with_a_key_or_a_setting(simulator: Simulator):
    web = {"ollama_web_search", "ollama_web_fetch"}
    assert not web & {tool.name for tool in await _tools(simulator)}
    assert web <= {tool.name for tool in await _tools(simulator, web=True)}
    assert web <= {tool.name for tool in await _tools(simulator, api_key="key")}


async def test_each_tool_checks_here_what_its_schema_leaves_open(simulator: Simulator):
    async with connected(simulator.url, tools=ALL["tools"]) as client:
        for tool in (await client.list_tools()).tools:
            said = error(await client.call_tool(tool.name, {"zzz_unknown": 1}), "invalid_argument")
            assert "zzz_unknown" in said and tool.name in said
