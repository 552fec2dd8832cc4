"""A model that is replaced under a call's hands: no result rests on two models, and no vector goes to the wrong one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.simulator import Answer, Fault, Simulator
from ollama_mcp.simulator.library import MODELS_BY_NAME
from tests.api.raw_server import by_path, response, serving, version
from tests.support import connected, data, error, texts, until

CHAT, OTHER_CHAT, EMBEDDER, OTHER_EMBEDDER = "llama3.2:3b", "qwen3:4b", "nomic-embed-text", "all-minilm:latest"


def put(simulator: Simulator, source: str) -> str:
    """Give the name "mine" to a model, as an upgrade does; its short digest."""
    model = simulator.store.find(source) or simulator.store.install(MODELS_BY_NAME[source])
    simulator.store.add(model.renamed(parse_name("mine")))
    return model.digest[:12]


def seen(simulator: Simulator, path: str) -> int:
    return sum(request.path == path for request in simulator.requests)


async def replaced_during(
    simulator: Simulator, client: Client, path: str, new: str, tool: str, arguments: dict[str, Any]
) -> tuple[Any, str]:
    """The result of a call whose model is replaced while its first request is answered, and the new digest."""
    gate = asyncio.Event()
    simulator.script("mine", *[Answer(text="ok", hold=gate)] * 20)
    simulator.faults.add(Fault("delay", path="/api/embed", seconds=0.3))
    call = asyncio.create_task(client.call_tool(tool, {"model": "mine", **arguments}))
    await until(lambda: seen(simulator, path), 20.0)
    digest = put(simulator, new)
    gate.set()
    return await call, digest


async def test_compare_gives_no_row_of_two_models_and_goes_on_with_the_others(simulator: Simulator):
    old = put(simulator, CHAT)
    async with connected(simulator.url) as client:
        arguments = {"models": ["mine", "gemma3:4b"], "prompt": "Hello?"}
        gate = asyncio.Event()
        simulator.script("mine", Answer(text="mixed", hold=gate))
        call = asyncio.create_task(client.call_tool("ollama_compare", arguments))
        await until(lambda: seen(simulator, "/api/chat"), 20.0)
        new = put(simulator, OTHER_CHAT)
        gate.set()
        mine, other = data(await call)["models"]
    assert mine["answered"] == 0 and f"digest {old} before, {new} now" in mine["error"] and not mine.get("answers")
    assert other["answered"] == 1 and "error" not in other


async def test_a_search_keeps_no_vector_under_the_wrong_model(simulator: Simulator, tmp_path: Path):
    old = put(simulator, EMBEDDER)
    store = {"path": str(tmp_path / "store.sqlite3")}
    asked = {"query": "cat", "texts": ["The cat sleeps.", "Stocks fell."]}
    async with connected(simulator.url, store=store) as client:
        result, new = await replaced_during(simulator, client, "/api/embed", OTHER_EMBEDDER, "ollama_search", asked)
        assert f"digest {old} before, {new} now" in error(result, "interrupted")
        simulator.faults.clear()
        put(simulator, EMBEDDER)
        found = data(await client.call_tool("ollama_search", {"model": "mine", **asked}))
        assert found["embedded"] == 2
        assert data(await client.call_tool("ollama_search", {"model": "mine", **asked}))["embedded"] == 0


async def test_texts_of_several_requests_are_embedded_by_one_model(simulator: Simulator):
    old = put(simulator, EMBEDDER)
    async with connected(simulator.url, limits={"embed_chunk": 2}) as client:
        asked = {"input": ["a", "b", "c"]}
        result, new = await replaced_during(simulator, client, "/api/embed", OTHER_EMBEDDER, "ollama_embed", asked)
    assert f"digest {old} before, {new} now" in error(result, "interrupted")


async def test_an_answer_in_pieces_rests_on_one_model(simulator: Simulator):
    old = put(simulator, CHAT)
    async with connected(simulator.url, limits={"num_ctx": 2048}) as client:
        asked = {"prompt": "How many words? " + "word " * 6_000, "too_long": "split"}
        result, new = await replaced_during(simulator, client, "/api/chat", OTHER_CHAT, "ollama_chat", asked)
    assert f"digest {old} before, {new} now" in error(result, "interrupted")


@pytest.mark.parametrize("private", ["files", "images"])
async def test_a_name_that_became_a_cloud_models_gets_nothing_private(tmp_path: Path, private: str):
    """Though its card was read by a call a moment before."""
    (tmp_path / "a.txt").write_text("secret", encoding="utf-8")
    local = '{"capabilities": ["completion", "vision"], "model_info": {}}'
    cloud = '{"capabilities": ["completion", "vision"], "remote_host": "https://ollama.com:443", "model_info": {}}'
    card = [local]

    async def show(request: Any, connection: Any) -> None:
        await response(card[0])(request, connection)

    end = '{"model": "mine", "message": {"role": "assistant", "content": "ok"}, "done": true, "done_reason": "stop"}\n'
    empty = response('{"models": []}')
    chat = response(end, content_type="application/x-ndjson")
    host = by_path(show=show, tags=empty, ps=empty, chat=chat, version=version("0.33.0"))
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    given = {"files": [str(tmp_path / "a.txt")]} if private == "files" else {"images": [pixel]}
    async with serving(host) as raw, connected(raw.url, read={"text_folders": [str(tmp_path)]}) as client:
        asked = {"model": "mine", "prompt": "What?", **given}
        result = await client.call_tool("ollama_chat", asked)
        assert not result.is_error, texts(result)
        sent = [request.path for request in raw.requests].count("/api/chat")
        card[0] = cloud
        assert f"policy.cloud_{private}" in error(await client.call_tool("ollama_chat", asked), "not_allowed")
        assert [request.path for request in raw.requests].count("/api/chat") == sent
