from __future__ import annotations

import httpx
import pytest

from ollama_mcp.simulator import CloudSimulator
from tests.simulator.helpers import user

KEYS = {"Bearer good": 200, "Bearer poor": 402, "Bearer busy": 429, "Bearer wrong": 401, "Basic good": 401, "": 401}


@pytest.mark.parametrize(("header", "status"), KEYS.items())
async def test_access_depends_on_the_key(header: str, status: int) -> None:
    keys = CloudSimulator({"good": "good", "poor": "unpaid", "busy": "limited"})
    headers = {"Authorization": header} if header else {}
    async with keys as cloud, httpx.AsyncClient(base_url=cloud.url, headers=headers) as client:
        for path, body in (("/api/web_search", {"query": "tea"}), ("/api/web_fetch", {"url": "https://example.com"})):
            answer = await client.post(path, json=body)
            assert answer.status_code == status
            assert ("retry-after" in answer.headers) is (status == 429)
        assert (await client.get("/api/tags")).status_code == status
        assert (await client.get("/api/version")).status_code == 200


async def test_the_cloud_runs_large_models_and_counts() -> None:
    headers = {"Authorization": "Bearer simulated-key"}
    async with CloudSimulator() as cloud, httpx.AsyncClient(base_url=cloud.url, headers=headers) as client:
        body = {"model": "gpt-oss:120b", "messages": user("x"), "stream": False}
        assert (await client.post("/api/chat", json=body)).json()["message"]["content"]
        assert (await client.get("/api/balance")).status_code == 200
        assert (await client.post("/api/web_search", json={"query": "x", "max_results": 99})).json()["results"][9:]


async def test_its_models_can_be_chosen() -> None:
    async with CloudSimulator(models=("qwen3:4b",)) as cloud:
        assert [model.name.short for model in cloud.store.listed()] == ["qwen3:4b"]
