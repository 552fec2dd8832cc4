"""The figures for Prometheus: what is counted, which labels there are, and who gets them."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client

from ollama_mcp.simulator import Answer, Simulator
from tests.security.team import team_at
from tests.support import connected, served, text

MODEL = "llama3.2:3b"


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def scraped(port: int, **headers: str) -> httpx.Response:
    """What Prometheus gets."""
    async with httpx.AsyncClient(timeout=30) as http:
        return await http.get(f"http://127.0.0.1:{port}/metrics", headers=headers)


def figures(page: str) -> dict[str, float]:
    """The figures by their name and labels."""
    lines = (line.rpartition(" ") for line in page.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def _chat(client: Client, **arguments: Any) -> None:
    await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "CANARY", **arguments})


async def test_calls_errors_tokens_and_times_are_counted_with_bounded_labels(simulator: Simulator):
    port = free_port()
    simulator.script(MODEL, Answer("a", tokens=7, prompt_tokens=30))
    async with connected(simulator.url, metrics={"port": port}) as client:
        await _chat(client)
        await _chat(client, model="absent")
        await client.call_tool("CANARYTOOL", {})
        for number in range(70):
            await client.call_tool("ollama_generate", {"model": f"CANARY{number}", "prompt": "Hi"})
        page = (await scraped(port)).text
    found = figures(page)
    assert found['ollama_mcp_calls_total{outcome="ok",tool="ollama_chat"}'] == 1
    assert found['ollama_mcp_calls_total{outcome="model_not_found",tool="ollama_chat"}'] == 1
    assert found['ollama_mcp_calls_total{outcome="invalid_argument",tool=""}'] == 1
    assert found[f'ollama_mcp_tokens_total{{host="local",kind="read",model="{MODEL}"}}'] == 30
    assert found[f'ollama_mcp_tokens_total{{host="local",kind="written",model="{MODEL}"}}'] == 7
    assert found[f'ollama_mcp_first_token_seconds_count{{host="local",model="{MODEL}"}}'] == 1
    assert found['ollama_mcp_queue{host="local",state="waiting"}'] == 0
    assert found['ollama_mcp_queue_seconds_count{host="local"}'] >= 2
    assert found['ollama_mcp_requests_total{endpoint="/api/chat",host="local",outcome="ok"}'] == 1
    assert "CANARYTOOL" not in page and "CANARY69" not in page
    assert len([name for name in found if name.startswith("ollama_mcp_tokens_total")]) <= 2 * 65


async def test_a_page_under_another_name_gets_nothing(simulator: Simulator):
    port = free_port()
    async with connected(simulator.url, metrics={"port": port}):
        assert (await scraped(port, Host="rebound.example.com")).status_code == 404
        assert (await scraped(port, Host=f"localhost:{port}")).status_code == 200


async def test_a_port_that_is_taken_costs_the_metrics_and_nothing_else(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        async with connected(simulator.url, metrics={"port": other.getsockname()[1]}) as client:
            assert text(await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"}))
    assert "no metrics: port" in caplog.text


async def test_no_name_of_a_user_is_in_the_figures(simulator: Simulator, tmp_path: Any):
    port = free_port()
    async with team_at(simulator.url, tmp_path, metrics={"port": port}) as team:
        async with team.client("user") as client:
            await _chat(client)
        page = (await scraped(port)).text
    assert 'tool="ollama_chat"' in page
    assert "user" not in page and "CANARY" not in page


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_on_the_port_of_clients_the_figures_are_for_tokens_with_the_scope(
    simulator: Simulator, tmp_path: Path, kind: Any
):
    more = {"prometheus": ["metrics"]}
    async with team_at(simulator.url, tmp_path, kind=kind, more=more, metrics={"over_http": True}) as team:
        async with team.client("user") as client:
            await _chat(client)
        address = team.url.rsplit("/", 1)[0]
        async with httpx.AsyncClient(base_url=address, timeout=60) as http:

            async def status(name: str | None, method: str = "GET", path: str = "/metrics") -> int:
                headers = team.headers(name) if name else {}
                return (await http.request(method, path, headers=headers)).status_code

            assert await status(None) == 401
            assert [await status(name) for name in ("reader", "user", "admin")] == [403] * 3
            assert await status("prometheus", "POST") == 405 and await status("prometheus", path="/metrics/x") == 404
            page = await http.get("/metrics", headers=team.headers("prometheus"))
            assert page.status_code == 200 and page.headers["content-type"].startswith("text/plain; version=")
            assert figures(page.text)['ollama_mcp_calls_total{outcome="ok",tool="ollama_chat"}'] == 1
            assert "user" not in page.text and "CANARY" not in page.text
            # And for nothing else.
            assert await status("prometheus", path="/files") == 403
            assert await status("prometheus", path="/mcp" if kind == "http" else "/sse") == 403


async def test_without_tokens_the_port_of_clients_has_no_figures(simulator: Simulator):
    async with served(simulator.url, metrics={"over_http": True}) as url, httpx.AsyncClient() as http:
        assert (await http.get(url.replace("/mcp", "/metrics"))).status_code == 403
    async with served(simulator.url) as url, httpx.AsyncClient() as http:
        assert (await http.get(url.replace("/mcp", "/metrics"))).status_code == 404
