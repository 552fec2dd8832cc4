"""Resources through a real client: the host's state, model cards, hosts, and what is no resource."""

import json
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import TextResourceContents

from ollama_mcp.simulator import Simulator
from tests.support import connected

STATES = ["ollama://status", "ollama://models", "ollama://running", "ollama://usage", "ollama://hosts"]


async def _read(client: Client, uri: str) -> Any:
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    assert content.uri == uri
    assert content.mime_type == "application/json"
    return json.loads(content.text)


async def _refused(client: Client, uri: str) -> MCPError:
    with pytest.raises(MCPError) as caught:
        await client.read_resource(uri)
    return caught.value


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_state_and_guides_are_listed_and_each_can_be_read(simulator: Simulator, mode: str):
    async with connected(simulator.url, mode=mode) as client:
        listed = (await client.list_resources()).resources
        assert [one.uri for one in listed][:5] == STATES
        assert len(listed) == 13 and len({one.name for one in listed}) == 13
        for one in listed:
            assert one.title and one.description and one.mime_type
            (content,) = (await client.read_resource(one.uri)).contents
            assert isinstance(content, TextResourceContents)
            assert content.mime_type == one.mime_type and content.text
        (template,) = (await client.list_resource_templates()).resource_templates
    assert template.uri_template == "ollama://models/{+name}"


async def test_state_is_what_the_tools_say(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_load_model", {"model": "llama3.2:3b", "keep_alive": -1})
        for uri, tool in zip(STATES, ("ollama_status", "ollama_list_models", "ollama_list_running"), strict=False):
            assert await _read(client, uri) == (await client.call_tool(tool, {})).structured_content
        assert await _read(client, "ollama://hosts") == {
            "hosts": [{"name": "local", "url": simulator.url, "key": False}]
        }


async def test_usage_is_that_of_the_status_tool_with_its_models_and_needs_no_host(simulator: Simulator):
    async with connected(simulator.url) as client:
        assert await _read(client, "ollama://usage") == {"counted": True}
        await client.call_tool("ollama_chat", {"model": "llama3.2:3b", "prompt": "Hi"})
        await simulator.stop()
        usage = await _read(client, "ollama://usage")
        sums = (await client.call_tool("ollama_status", {})).structured_content["usage"]
    (row,) = usage["this_run"].pop("local_models")
    assert usage["in_all"].pop("local_models") == [row]
    assert usage == sums and row == {"model": "llama3.2:3b", **sums["this_run"]["local"]}


@pytest.mark.parametrize("written", ["llama3.2:3b", "llama3.2%3A3b", "LLAMA3.2:3B"])
async def test_a_model_card_is_found_by_its_name_in_any_writing(simulator: Simulator, written: str):
    async with connected(simulator.url) as client:
        card = await _read(client, f"ollama://models/{written}")
    assert card["context_length"] == 131_072


@pytest.mark.parametrize("name", ["q:latest", "x", "hf.co/user/repo:Q4_K_M", "me/my.model:v1.0"])
async def test_names_of_one_letter_with_slashes_colons_and_dots_are_names(simulator: Simulator, name: str):
    async with connected(simulator.url) as client:
        copied = await client.call_tool("ollama_copy_model", {"source": "llama3.2:3b", "destination": name})
        assert not copied.is_error
        assert (await _read(client, f"ollama://models/{name}"))["family"] == "llama"
        assert (await _read(client, f"ollama://models/{name.replace('/', '%2F')}"))["family"] == "llama"


@pytest.mark.parametrize(
    "path",
    ["..", "%2e%2e%2f", "../../etc/passwd", "a%00b", "%E2%80%AEa", "", "C:\\x", "a/b/c/d", "x?verbose=1", "%0a", "é"],
)
async def test_what_is_no_model_name_is_not_found_and_nothing_is_asked(simulator: Simulator, path: str):
    async with connected(simulator.url) as client:
        error = await _refused(client, f"ollama://models/{path}")
    assert error.error.code == -32602
    assert error.error.message.startswith("[invalid_argument] ")
    assert not simulator.requests


async def test_an_absent_model_is_not_found_and_the_closest_are_named(simulator: Simulator):
    async with connected(simulator.url) as client:
        error = await _refused(client, "ollama://models/llama3")
    assert error.error.code == -32602
    assert "Closest: 'llama3.2:3b'." in error.error.message


@pytest.mark.parametrize("uri", ["ollama://modles", "ollama://guides/option", "file:///etc/passwd", "ollama://usage/x"])
async def test_an_unknown_address_is_refused_in_words(simulator: Simulator, uri: str):
    async with connected(simulator.url) as client:
        error = await _refused(client, uri)
    assert error.error.code == -32602
    assert f"There is no resource {uri!r}." in error.error.message


async def test_with_the_host_down_status_and_guides_still_read_and_the_rest_says_why(simulator: Simulator):
    await simulator.stop()
    async with connected(simulator.url) as client:
        assert (await _read(client, "ollama://status"))["hosts"][0]["reachable"] is False
        assert (await client.read_resource("ollama://guides/errors")).contents
        error = await _refused(client, "ollama://models")
    assert error.error.code == -32603
    assert error.error.message.startswith("[unreachable] ")


async def test_what_a_tool_would_show_is_a_resource_only_where_the_tool_is_offered(simulator: Simulator):
    async with connected(simulator.url, tools={"toolsets": ["inference"]}) as client:
        uris = [one.uri for one in (await client.list_resources()).resources]
        assert uris[0] == "ollama://hosts" and not set(uris) & set(STATES[:4])
        assert not (await client.list_resource_templates()).resource_templates
        for uri in (*STATES[:4], "ollama://models/llama3.2:3b"):
            assert (await _refused(client, uri)).error.code == -32602
    assert not simulator.requests


async def test_a_key_is_never_shown(simulator: Simulator):
    async with connected(simulator.url, api_key="sk-secret", headers={"X-Key": "sk-other"}) as client:
        for one in (await client.list_resources()).resources:
            (content,) = (await client.read_resource(one.uri)).contents
            assert isinstance(content, TextResourceContents)
            assert "sk-" not in content.text


async def test_lists_say_how_long_they_hold(simulator: Simulator):
    async with connected(simulator.url, mode="auto") as client:
        results = [
            await client.list_tools(),
            await client.list_prompts(),
            await client.list_resources(),
            await client.list_resource_templates(),
        ]
        state = await client.read_resource("ollama://running")
    assert {(result.ttl_ms, result.cache_scope) for result in results} == {(300_000, "private")}
    assert state.ttl_ms == 0
