from __future__ import annotations

import httpx
import pytest

from ollama_mcp.simulator import Simulator
from ollama_mcp.simulator.machine import AccountState


async def test_who_is_signed_in_and_signing_out(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/me")).json()["plan"] == "free"
    assert (await client.post("/api/signout")).json() is None
    refused = await client.post("/api/me")
    assert (refused.status_code, "signin_url" in refused.json()) == (401, True)
    assert (await client.post("/api/signout")).json()["error"] == "you are not currently signed in"


@pytest.mark.parametrize(
    ("account", "status", "text"),
    [
        ("signed_out", 401, "unauthorized"),
        ("no_key", 401, "unauthorized"),
        ("disabled", 403, "ollama cloud is disabled: web search is unavailable"),
        ("unreachable", 502, 'Post "https://ollama.com:443/api/web_search'),
    ],
)
async def test_a_web_search_fails_depending_on_the_account(account: AccountState, status: int, text: str) -> None:
    async with Simulator(account=account) as simulator, httpx.AsyncClient(base_url=simulator.url) as client:
        answer = await client.post("/api/experimental/web_search", json={"query": "x"})
        assert answer.status_code == status
        assert answer.json()["error"].startswith(text)
        assert (await client.get("/api/status")).json()["cloud"]["disabled"] is (account == "disabled")


async def test_web_search_gives_as_many_results_as_wanted(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/experimental/web_search", json={"query": "tea", "max_results": 2})
    assert [set(result) for result in answer.json()["results"]] == [{"title", "url", "content"}] * 2
    page = await client.post("/api/experimental/web_fetch", json={"url": "https://example.com"})
    assert "fetched nothing" in page.json()["content"]
    assert (await client.post("/api/experimental/web_search")).json()["error"] == "missing request body"


async def test_before_v0_12_1_unauthorized_responses_have_a_public_key() -> None:
    async with (
        Simulator("0.12.0", account="signed_out") as simulator,
        httpx.AsyncClient(base_url=simulator.url) as client,
    ):
        assert "public_key" in (await client.post("/api/me")).json()


async def test_the_latest_generation_has_balance_and_usage() -> None:
    async with Simulator("latest") as simulator, httpx.AsyncClient(base_url=simulator.url) as client:
        assert (await client.get("/api/balance")).json()["included"]["balance_usd"] > 0
        assert (await client.get("/api/balance?x=1")).status_code == 400
        usage = (await client.get("/api/usage?range=7d")).json()
        assert (len(usage["buckets"]), usage["granularity"], usage["buckets"][-1]["partial"]) == (8, "day", True)
        assert (await client.get("/api/usage?range=1y")).status_code == 400


async def test_recommendations_name_models(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/experimental/model-recommendations")).json()["recommendations"]
    assert all({"model", "description"} <= set(entry) for entry in found)
