import socket

import pytest

from ollama_mcp.simulator import CloudSimulator, Simulator
from tests.support import connected, data, error, text

MODEL = "llama3.2:3b"


async def test_status_says_what_the_host_is_and_holds(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_load_model", {"model": MODEL})
        result = await client.call_tool("ollama_status", {})
    (host,) = data(result)["hosts"]
    assert host["reachable"] and host["url"] == simulator.url
    assert (host["installed"], host["loaded"], host["cloud"]) == (4, [MODEL], "enabled")
    assert f"loaded: {MODEL}" in text(result)


async def test_status_answers_when_the_host_does_not():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with connected(url) as client:
            result = await client.call_tool("ollama_status", {})
    (host,) = data(result)["hosts"]
    assert host["reachable"] is False
    assert "[unreachable]" in host["problem"] and "does not answer" in text(result)


async def test_status_works_on_servers_without_a_cloud():
    async with Simulator(version="0.5.7") as old, connected(old.url) as client:
        (host,) = data(await client.call_tool("ollama_status", {}))["hosts"]
    assert host["ollama_version"] == "0.5.7" and "cloud" not in host


async def test_search_and_fetch_go_through_the_signed_in_host(simulator: Simulator):
    async with connected(simulator.url, web=True) as client:
        found = await client.call_tool("ollama_web_search", {"query": "ollama", "max_results": 2})
        page = await client.call_tool("ollama_web_fetch", {"url": "https://example.com"})
    assert 1 <= len(data(found)["results"]) <= 2
    assert data(page)["title"]
    assert [seen.path for seen in simulator.requests] == [
        "/api/experimental/web_search",
        "/api/experimental/web_fetch",
    ]
    assert all("authorization" not in {name.lower() for name in seen.headers} for seen in simulator.requests)


async def test_with_a_key_they_go_to_ollama_com_and_the_key_goes_nowhere_else(simulator: Simulator):
    async with (
        CloudSimulator(keys={"the-key": "good"}) as cloud,
        connected(simulator.url, api_key="the-key", cloud_url=cloud.url) as client,
    ):
        found = await client.call_tool("ollama_web_search", {"query": "ollama"})
        await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})
        assert data(found)["results"]
        assert [seen.path for seen in cloud.requests] == ["/api/web_search"]
        headers = {name.lower(): value for name, value in cloud.requests[0].headers.items()}
        assert headers["authorization"] == "Bearer the-key"
    assert "the-key" not in str([seen.headers for seen in simulator.requests])


async def test_a_wrong_key_is_unauthorized(simulator: Simulator):
    async with (
        CloudSimulator(keys={"the-key": "good"}) as cloud,
        connected(simulator.url, api_key="wrong", cloud_url=cloud.url) as client,
    ):
        words = error(await client.call_tool("ollama_web_search", {"query": "x"}), "unauthorized")
    assert "wrong" not in words


@pytest.mark.parametrize("arguments", [{"query": ""}, {"query": "x", "max_results": 11}, {}])
async def test_a_search_out_of_bounds_is_refused(simulator: Simulator, arguments: dict[str, object]):
    async with connected(simulator.url, web=True) as client:
        error(await client.call_tool("ollama_web_search", arguments), "invalid_argument")
    assert not simulator.requests
