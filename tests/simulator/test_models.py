from __future__ import annotations

import httpx
import pytest

from ollama_mcp.simulator import Simulator
from tests.simulator.helpers import CHAT


async def test_names_are_found_in_any_case_and_latest_is_added(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/embed", json={"model": "NOMIC-Embed-Text:LATEST", "input": "x"})
    assert answer.json()["model"] == "NOMIC-Embed-Text:LATEST"
    assert (await client.get("/api/ps")).json()["models"][0]["name"] == "nomic-embed-text:latest"


async def test_the_newest_model_is_listed_first(client: httpx.AsyncClient) -> None:
    await client.post("/api/copy", json={"source": CHAT, "destination": "me/mine"})
    names = [model["name"] for model in (await client.get("/api/tags")).json()["models"]]
    assert names == ["me/mine:latest", "llama3.2:3b", "qwen3:4b", "gemma3:4b", "nomic-embed-text:latest"]


async def test_a_copy_has_the_same_digest_and_overwrites(client: httpx.AsyncClient) -> None:
    for source in (CHAT, "qwen3:4b"):
        assert (await client.post("/api/copy", json={"source": source, "destination": "Mine"})).content == b""
    digests = {model["name"]: model["digest"] for model in (await client.get("/api/tags")).json()["models"]}
    assert digests["Mine:latest"] == digests["qwen3:4b"]


async def test_copying_a_model_onto_itself_changes_nothing(client: httpx.AsyncClient) -> None:
    before = (await client.get("/api/tags")).json()
    assert (await client.post("/api/copy", json={"source": CHAT, "destination": CHAT.upper()})).status_code == 200
    assert (await client.get("/api/tags")).json() == before


async def test_a_deleted_model_stays_in_memory_and_cannot_be_named(client: httpx.AsyncClient) -> None:
    await client.post("/api/generate", json={"model": CHAT})
    assert (await client.request("DELETE", "/api/delete", json={"model": CHAT})).status_code == 200
    assert [model["name"] for model in (await client.get("/api/ps")).json()["models"]] == [CHAT]
    gone = await client.post("/api/generate", json={"model": CHAT, "keep_alive": 0})
    assert (gone.status_code, gone.json()["error"]) == (404, f"model '{CHAT}' not found")


async def test_a_blob_that_another_model_uses_is_kept(simulator: Simulator, client: httpx.AsyncClient) -> None:
    weights = simulator.store.models["registry.ollama.ai/library/llama3.2:3b"].weights.digest
    await client.post("/api/copy", json={"source": CHAT, "destination": "mine"})
    await client.request("DELETE", "/api/delete", json={"model": CHAT})
    assert (await client.head(f"/api/blobs/{weights}")).status_code == 200
    await client.request("DELETE", "/api/delete", json={"model": "mine"})
    assert (await client.head(f"/api/blobs/{weights}")).status_code == 404


async def test_show_reports_capabilities_and_dimensions(client: httpx.AsyncClient) -> None:
    shown = (await client.post("/api/show", json={"model": "qwen3:4b"})).json()
    assert set(shown["capabilities"]) == {"completion", "tools", "thinking"}
    assert shown["model_info"]["qwen3.context_length"] == 262_144
    assert shown["model_info"]["tokenizer.ggml.tokens"] is None
    assert "TEMPLATE" in shown["modelfile"]
    verbose = (await client.post("/api/show", json={"model": "qwen3:4b", "verbose": True})).json()
    assert verbose["model_info"]["tokenizer.ggml.tokens"]


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat", "/api/show", "/api/pull"])
async def test_an_invalid_name_is_rejected(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={"model": "a/b/c/d", "messages": []})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid model name")


async def test_any_kind_or_name_can_be_installed() -> None:
    async with Simulator(models=("vision", "all-minilm", "gpt-oss:20b")) as simulator:
        names = [model.name.short for model in simulator.store.listed()]
    assert names == ["gemma3:4b", "all-minilm:latest", "gpt-oss:20b"]


def test_an_unknown_model_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no model 'nope'; it has chat, .*llama3.2:3b"):
        Simulator(models=("nope",))


async def test_the_openai_list_has_the_same_models(client: httpx.AsyncClient) -> None:
    assert len((await client.get("/v1/models")).json()["data"]) == 4


async def test_cloud_names_run_on_the_account(simulator: Simulator, client: httpx.AsyncClient) -> None:
    body = {"model": "gpt-oss:20b-cloud", "messages": [{"role": "user", "content": "x"}], "stream": False}
    assert (await client.post("/api/chat", json=body)).json()["model"] == "gpt-oss:20b"
    assert (await client.post("/api/chat", json={**body, "model": "kimi-k2.6:cloud"})).json()["model"] == "kimi-k2.6"
    assert (await client.post("/api/show", json={"model": "gpt-oss:20b-cloud"})).json()["details"]["family"] == "gptoss"
    missing = await client.post("/api/chat", json={**body, "model": "nope:cloud"})
    assert missing.status_code == 404
    simulator.machine.account = "signed_out"
    refused = await client.post("/api/chat", json=body)
    assert (refused.status_code, "signin_url" in refused.json()) == (401, True)
    simulator.machine.account = "disabled"
    assert (await client.post("/api/chat", json=body)).json()["error"] == (
        "ollama cloud is disabled: remote model is unavailable"
    )


async def test_a_local_tag_selects_the_local_model(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/generate", json={"model": f"{CHAT}:local", "prompt": "x", "stream": False})
    assert answer.status_code == 200
    both = await client.post("/api/generate", json={"model": "x:cloud:local", "prompt": "x"})
    assert both.json()["error"] == 'use either :local or :cloud, not both: "x:cloud:local"'
