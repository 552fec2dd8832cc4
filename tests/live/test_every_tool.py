"""Every tool end to end with tiny models, with the same expectations for real servers and the simulator.

`pytest -m live --ollama http://127.0.0.1:11434` runs it on a real Ollama. It creates models whose names begin with
`mcp-live-` and deletes them; it pulls and pushes nothing.
"""

import base64
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.support import connected, data, error, text, texts

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
CHAT, EMBED, TOOLS = "mcp-live-chat", "mcp-live-embed", "mcp-live-tools"
FILES = {CHAT: "tiny-chat.gguf", EMBED: "tiny-embed.gguf", TOOLS: "tiny-tools.gguf"}
# Older servers derive tools from the Go template only, not from the one in the file.
TEMPLATES = {
    TOOLS: "{{ if .Tools }}{{ range .Tools }}{{ . }}{{ end }}{{ end }}{{ range .Messages }}{{ .Content }}{{ end }}"
}
# The weights are random: a high temperature and enough tokens make some visible text likely.
SHORT = {"num_predict": 40, "temperature": 1.0, "seed": 1}


async def _call(client: Client, tool: str, **arguments: Any) -> Any:
    return await client.call_tool(tool, arguments, read_timeout_seconds=120)


async def _delete(client: Client, model: str) -> None:
    await _call(client, "ollama_delete_model", model=model)
    await _call(client, "ollama_delete_model", model=model, confirm=True)


@asynccontextmanager
async def _with_models(ollama: str, *models: str) -> AsyncGenerator[Client]:
    """A client of a server on that Ollama, with the tiny models while the block runs."""
    settings: dict[str, Any] = {"tools": {"toolsets": ["all"], "exclude": ["ollama_web_search", "ollama_web_fetch"]}}
    async with connected(ollama, **settings) as client:
        try:
            for model in models:
                content = (FIXTURES / FILES[model]).read_bytes()
                digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
                sent = await _call(client, "ollama_push_blob", data=base64.b64encode(content).decode(), digest=digest)
                assert data(sent)["present"]
                arguments = {"model": model, "files": {FILES[model]: digest}, "template": TEMPLATES.get(model)}
                made = await _call(client, "ollama_create_model", **arguments)
                if made.is_error and "needs_confirmation" in texts(made)[0]:
                    made = await _call(client, "ollama_create_model", **arguments, confirm=True)
                assert text(made).startswith(f"{model} was created")
            yield client
        finally:
            for model in models:
                await _delete(client, model)


async def test_status_reports_the_host(ollama: str):
    async with _with_models(ollama) as client:
        (host,) = data(await _call(client, "ollama_status"))["hosts"]
    assert host["reachable"] and host["ollama_version"]


async def test_models_are_listed_shown_copied_and_deleted(ollama: str):
    async with _with_models(ollama, CHAT, EMBED) as client:
        listed = {model["name"]: model for model in data(await _call(client, "ollama_list_models"))["models"]}
        assert "embedding" in listed[f"{EMBED}:latest"]["capabilities"]
        assert "completion" in listed[f"{CHAT}:latest"]["capabilities"]
        card = data(await _call(client, "ollama_show_model", model=CHAT, include=["modelfile", "template"]))
        assert card["family"] == "llama" and card["context_length"]
        assert "blobs" not in card["included"]["modelfile"]
        await _call(client, "ollama_copy_model", source=CHAT, destination="mcp-live-copy")
        assert data(await _call(client, "ollama_show_model", model="mcp-live-copy"))["family"] == "llama"
        await _delete(client, "mcp-live-copy")
        error(await _call(client, "ollama_show_model", model="mcp-live-copy"), "model_not_found")


async def test_models_are_loaded_and_unloaded(ollama: str):
    async with _with_models(ollama, CHAT, EMBED) as client:
        for model in (CHAT, EMBED):
            assert text(await _call(client, "ollama_load_model", model=model, keep_alive="5m")).startswith(model)
            running = data(await _call(client, "ollama_list_running"))["models"]
            assert f"{model}:latest" in [entry["name"] for entry in running]
            assert not (await _call(client, "ollama_unload_model", model=model)).is_error


async def test_text_is_generated_with_its_options(ollama: str):
    async with _with_models(ollama, CHAT) as client:
        first = await _call(client, "ollama_generate", model=CHAT, prompt="Hello", options=SHORT)
        again = await _call(client, "ollama_generate", model=CHAT, prompt="Hello", options=SHORT)
        assert not first.is_error, texts(first)
        assert texts(first)[0] == texts(again)[0] != ""
        rich = await _call(
            client, "ollama_generate", model=CHAT, prompt="Hello", options=SHORT, include=["stats", "context"]
        )
        assert data(rich)["stats"]["tokens"] <= 40 and data(rich)["context"]


async def test_a_conversation_is_answered(ollama: str):
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "How are you?"},
    ]
    async with _with_models(ollama, CHAT) as client:
        result = await _call(client, "ollama_chat", model=CHAT, messages=messages, options=SHORT)
        assert not result.is_error, texts(result)
        assert (result.meta or {})["ollama-mcp-server/usage"]["prompt_tokens"] > 0


async def test_an_answer_matches_a_schema(ollama: str):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    async with _with_models(ollama, CHAT) as client:
        arguments = {"model": CHAT, "prompt": "JSON", "format": schema, "options": {**SHORT, "num_predict": 200}}
        result = await _call(client, "ollama_chat", **arguments)
        # Random weights may give only white space up to the limit: then the error must report the truncation.
        if result.is_error:
            assert texts(result)[0].startswith(("[bad_answer]", "[no_answer]", "[interrupted]", "[server_error]"))
        else:
            assert isinstance(data(result)["value"]["ok"], bool)


async def test_tools_are_offered_to_a_model_that_can_and_refused_for_one_that_cannot(ollama: str):
    offered = [{"name": "add", "description": "Add", "parameters": {"properties": {"a": {"type": "integer"}}}}]
    async with _with_models(ollama, CHAT, TOOLS) as client:
        able = await _call(client, "ollama_chat", model=TOOLS, prompt="Add", tools=offered, options=SHORT)
        assert not able.is_error or texts(able)[0].startswith("[no_answer]"), texts(able)
        refused = await _call(client, "ollama_chat", model=CHAT, prompt="Add", tools=offered, options=SHORT)
        assert "tools" in error(refused, "unsupported")


async def test_images_are_refused_for_a_model_without_vision(ollama: str):
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    async with _with_models(ollama, CHAT) as client:
        result = await _call(client, "ollama_chat", model=CHAT, prompt="See?", images=[pixel])
        assert "cannot see images" in error(result, "unsupported")


async def test_texts_are_embedded_and_compared(ollama: str):
    async with _with_models(ollama, EMBED) as client:
        found = data(await _call(client, "ollama_embed", model=EMBED, input=["a cat", "a cat", "the stock market"]))
        assert found["count"] == 3
        nearest = found["similarities"][0]
        assert (nearest["a"], nearest["b"]) == (0, 1) and nearest["similarity"] == pytest.approx(1, abs=1e-3)
        single = data(await _call(client, "ollama_embeddings", model=EMBED, prompt="a cat"))
        assert len(single["embedding"]) == found["dimensions"]


async def test_questions_are_answered_with_one_of_their_options(ollama: str):
    questions = [{"name": "team", "question": "Which?", "labels": ["billing", "support"]}, {"question": "Urgent?"}]
    async with _with_models(ollama, CHAT) as client:
        result = await _call(client, "ollama_decide", model=CHAT, texts=["Help me!"], questions=questions)
        team, urgent = data(result)["rows"]
        assert team["answer"] in ("billing", "support") and urgent["answer"] in ("yes", "no")
        # Old servers have no probabilities, and random weights may not give the letters; notes report both.
        assert ("probabilities" in team and "probabilities" in urgent) or data(result)["notes"]


async def test_a_few_rows_are_processed(ollama: str):
    async with _with_models(ollama, CHAT) as client:
        given = {"input": ["red", "blue"], "prompt": "Say {text}.", "options": {"num_predict": 8}}
        report = data(await _call(client, "ollama_batch", model=CHAT, **given))
        assert [row["row"] for row in report["samples"]] == [1, 2]


async def test_models_are_compared_and_one_that_is_missing_is_a_row(ollama: str):
    async with _with_models(ollama, CHAT, TOOLS), connected(ollama, defaults={"options": SHORT}) as client:
        models = [CHAT, TOOLS, "mcp-live-none"]
        rows = data(await _call(client, "ollama_compare", models=models, prompt="Hello"))["models"]
        assert [row["model"] for row in rows] == models
        assert rows[2]["error"].startswith("[model_not_found] ")
        for row in rows[:2]:
            # Random weights may give an empty answer.
            assert row.get("tokens_per_second", 0) > 0 or row["error"].startswith("[no_answer] ")


async def test_a_file_is_read_and_one_that_is_too_long_is_refused_not_cut(ollama: str, tmp_path: Path):
    file = tmp_path / "long.txt"
    file.write_text("Some words.\n" * 200_000)
    arguments = {"model": CHAT, "prompt": "What?", "options": SHORT}
    async with _with_models(ollama, CHAT), connected(ollama, read={"text_folders": [str(tmp_path)]}) as client:
        error(await _call(client, "ollama_chat", files=[str(file)], **arguments), "too_long")
        answer = texts(await _call(client, "ollama_chat", files=[f"{file}:1-2"], **arguments))
        # Random weights may give an empty answer.
        assert answer[0].startswith("[no_answer] ") or f"read {file}: lines 1-2, 24 bytes" in answer[1]


async def test_passages_are_found_and_embedded_once(ollama: str):
    given = {"model": EMBED, "query": "a cat", "texts": ["The cat sleeps.", "Stocks fell."]}
    async with _with_models(ollama, EMBED) as client:
        first, again = [data(await _call(client, "ollama_search", **given)) for _ in range(2)]
    assert (first["embedded"], again["embedded"]) == (2, 0)
    assert first["rows"] == again["rows"] and len(first["rows"]) == 2


async def test_a_model_is_created_from_another(ollama: str):
    async with _with_models(ollama, CHAT) as client:
        arguments = {"model": "mcp-live-made", "from": CHAT, "system": "Be brief.", "parameters": {"temperature": 0}}
        assert text(await _call(client, "ollama_create_model", **arguments)).startswith("mcp-live-made was created")
        card = data(await _call(client, "ollama_show_model", model="mcp-live-made", include=["system"]))
        assert card["included"]["system"] == "Be brief."
        await _delete(client, "mcp-live-made")


async def test_missing_models_and_blobs_are_reported_by_kind(ollama: str):
    async with _with_models(ollama) as client:
        for tool in ("ollama_chat", "ollama_generate"):
            error(await _call(client, tool, model="mcp-live-none", prompt="Hi"), "model_not_found")
        error(await _call(client, "ollama_embed", model="mcp-live-none", input=["a"]), "model_not_found")
        blob = await _call(client, "ollama_check_blob", digest="sha256:" + "0" * 64)
        assert data(blob)["present"] is False
