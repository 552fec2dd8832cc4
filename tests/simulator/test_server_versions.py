from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from ollama_mcp.simulator import Answer, Simulator
from ollama_mcp.simulator.responder import describe_media
from ollama_mcp.simulator.server_versions import Generation
from tests.contract.gguf_files import gguf
from tests.simulator.helpers import CHAT, EMBEDDER, THINKER, WEATHER_TOOL, lines, user


@asynccontextmanager
async def playing(version: str, **settings: Any) -> AsyncGenerator[tuple[Simulator, httpx.AsyncClient]]:
    async with Simulator(version, **settings) as simulator, httpx.AsyncClient(base_url=simulator.url) as client:
        yield simulator, client


@pytest.mark.parametrize(
    ("version", "reported"),
    [
        ("0.17.7", "0.17.7"),
        ("v0.5.7", "0.5.7"),
        ("0.40.0-rc1", "0.40.0-rc1"),
        ("latest", "0.40.12"),
        ("0.0.0", "0.0.0"),
        ("0.33", "0.33"),
        ("0.1.44", "0.1.44"),
    ],
)
async def test_the_chosen_version_is_reported(version: str, reported: str) -> None:
    async with playing(version) as (_, client):
        assert (await client.get("/api/version")).json() == {"version": reported}


async def test_the_default_version_names_the_simulator(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/version")).json() == {"version": "0.33.0-simulator"}


@pytest.mark.parametrize("version", ["newest", "0", "0.33.0x", "", "0.1.2.3"])
def test_an_invalid_version_is_rejected(version: str) -> None:
    with pytest.raises(ValueError, match=f"'{version}' is not a version of Ollama"):
        Generation(version)


@pytest.mark.parametrize("version", ["0.1.43", "0.40.13", "v1.0.0"])
def test_an_unsupported_version_names_the_oldest_and_the_newest(version: str) -> None:
    with pytest.raises(ValueError, match=f"support Ollama {version}: the oldest .* 0.1.44, the newest 0.40.12"):
        Generation(version)


def test_a_build_from_source_counts_as_the_default_version() -> None:
    assert Generation("0.0.0").since(0, 33, 0)
    assert not Generation("0.0.0").since(0, 33, 1)


@pytest.mark.parametrize(
    ("version", "method", "path", "status"),
    [
        ("0.2.5", "POST", "/api/embed", 404),
        ("0.2.6", "POST", "/api/embed", 400),
        ("0.5.7", "GET", "/api/chat", 404),
        ("0.7.0", "GET", "/api/chat", 405),
        ("0.16.0", "GET", "/api/status", 404),
        ("0.16.2", "GET", "/api/status", 200),
        ("0.33.0", "GET", "/v1/systemone", 404),
        ("0.35.0", "GET", "/v1/systemone", 405),
        ("0.40.0", "GET", "/api/usage", 404),
        ("0.40.1", "GET", "/api/usage", 200),
    ],
)
async def test_endpoints_exist_since_their_version(version: str, method: str, path: str, status: int) -> None:
    async with playing(version) as (_, client):
        answer = await client.request(method, path)
        assert answer.status_code == status
        if status in (404, 405):
            assert answer.headers["content-type"] == "text/plain"


async def test_before_v0_12_6_a_stream_that_fails_at_once_is_still_200() -> None:
    for version, status in (("0.12.5", 200), ("0.12.6", 500)):
        async with playing(version) as (simulator, client):
            simulator.script(CHAT, Answer(error="boom"))
            answer = await client.post("/api/chat", json={"model": CHAT, "messages": user("x")})
            assert (answer.status_code, answer.json()) == (status, {"error": "boom"})


async def test_tool_calls_gain_an_index_and_then_an_id() -> None:
    body = {"model": CHAT, "messages": user("weather in Rome"), "tools": [WEATHER_TOOL], "stream": False}
    for version, index, identified in (("0.12.5", False, False), ("0.12.6", True, False), ("0.12.10", True, True)):
        async with playing(version) as (_, client):
            (call,) = (await client.post("/api/chat", json=body)).json()["message"]["tool_calls"]
            assert ("index" in call["function"], "id" in call) == (index, identified)


async def test_thinking_exists_since_v0_9_and_is_the_default_since_v0_12_4() -> None:
    for version, think, thinks in (
        ("0.5.7", True, False),
        ("0.9.0", None, False),
        ("0.9.0", True, True),
        ("0.12.4", None, True),
    ):
        async with playing(version) as (_, client):
            body = {"model": THINKER, "messages": user("x"), "stream": False, "think": think}
            assert ("thinking" in (await client.post("/api/chat", json=body)).json()["message"]) is thinks


async def test_max_is_a_level_since_v0_22() -> None:
    body = {"model": THINKER, "messages": user("x"), "stream": False, "think": "max"}
    for version, status in (("0.21.0", 400), ("0.22.0", 200)):
        async with playing(version) as (_, client):
            assert (await client.post("/api/chat", json=body)).status_code == status


async def test_images_for_a_model_without_vision_are_ignored_before_v0_30() -> None:
    message = {"role": "user", "content": "x", "images": ["aGVsbG8="]}
    for version, status in (("0.17.7", 200), ("0.30.0", 500)):
        async with playing(version) as (_, client):
            answer = await client.post("/api/chat", json={"model": CHAT, "messages": [message], "stream": False})
            assert answer.status_code == status


async def test_old_servers_have_neither_dimensions_nor_logprobs() -> None:
    async with playing("0.5.7") as (_, client):
        embedded = await client.post("/api/embed", json={"model": EMBEDDER, "input": "x", "dimensions": 8})
        assert len(embedded.json()["embeddings"][0]) == 768
        got = await lines(client, "/api/generate", {"model": CHAT, "prompt": "x", "logprobs": True, "top_logprobs": 99})
        assert not any("logprobs" in line for line in got)
        shown = (await client.post("/api/show", json={"model": CHAT})).json()
        assert not {"capabilities", "tensors"} & set(shown)


async def test_a_type_may_be_a_list_since_v0_6_6() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": ["string"]}}}}}
    body = {"model": CHAT, "messages": user("x"), "tools": [tool], "stream": False}
    async with playing("0.5.7") as (_, client):
        assert "cannot unmarshal array" in (await client.post("/api/chat", json=body)).json()["error"]
    async with playing("0.6.6") as (_, client):
        assert (await client.post("/api/chat", json=body)).status_code == 200


async def test_the_error_for_long_inputs_depends_on_the_version() -> None:
    for version, text in (
        ("0.12.5", "input length exceeds maximum context length"),
        ("0.12.6", "the input length exceeds the context length"),
    ):
        async with playing(version) as (_, client):
            body = {"model": EMBEDDER, "input": "word " * 3000, "truncate": False}
            assert (await client.post("/api/embed", json=body)).json()["error"] == text
    async with playing("0.17.7") as (_, client):
        body = {"model": CHAT, "prompt": "word " * 500, "truncate": False, "options": {"num_ctx": 64}}
        assert (await client.post("/api/generate", json=body)).json()["error"] == text


async def test_the_error_for_an_invalid_schema_depends_on_the_version() -> None:
    body = {"model": CHAT, "prompt": "x", "format": {"type": "bogus"}, "stream": False}
    for version, status, text in (
        ("0.17.7", 500, "invalid JSON schema in format"),
        ("0.33.0", 400, "unrecognized type"),
    ):
        async with playing(version) as (_, client):
            answer = await client.post("/api/generate", json=body)
            assert (answer.status_code, text in answer.json()["error"]) == (status, True)


async def test_the_repeat_guard_is_an_error_since_v0_34_1() -> None:
    async with playing("0.34.1") as (simulator, client):
        simulator.script(CHAT, Answer(["same"] * 99), Answer(["same"] * 120), Answer(["same"] * 120))
        body = {"model": CHAT, "prompt": "x"}
        assert (await lines(client, "/api/generate", body))[-1]["done"]
        failed = await lines(client, "/api/generate", body)
        assert failed[-1] == {"error": "prediction aborted, token repeat limit reached"}
        assert (await client.post("/api/generate", json={**body, "stream": False})).status_code == 500


async def test_only_four_versions_reject_typical_p() -> None:
    body = {"model": CHAT, "prompt": "x", "stream": False, "options": {"typical_p": 0.5}}
    for version, status in (("0.33.0", 200), ("0.34.1", 400), ("0.34.4", 400), ("0.35.0", 200)):
        async with playing(version) as (_, client):
            assert (await client.post("/api/generate", json=body)).status_code == status


async def test_the_latest_show_has_thinking_levels_and_the_template_source() -> None:
    async with playing("latest", models=("think", "gpt-oss:20b")) as (_, client):
        shown = (await client.post("/api/show", json={"model": THINKER})).json()
        assert shown["thinking"] == {"values": [False, True], "default": True}
        assert shown["template_source"] == "go_template"
        levels = (await client.post("/api/show", json={"model": "gpt-oss:20b"})).json()["thinking"]
        assert levels == {"values": ["low", "medium", "high"], "default": "medium"}


@pytest.mark.parametrize(("think", "thinks"), [("unknown", True), (False, False), ("high", True)])
async def test_the_latest_generation_accepts_any_thinking_level(think: str | bool, thinks: bool) -> None:
    async with playing("latest", models=("think",)) as (_, client):
        body = {"model": THINKER, "messages": user("x"), "stream": False, "think": think}
        answer = (await client.post("/api/chat", json=body)).json()
        assert ("thinking" in answer["message"]) is thinks
        assert answer["prompt_eval_cached_count"] == 0
        refused = await client.post("/api/chat", json={**body, "think": 5})
        assert refused.json()["error"] == "think must be a boolean or string"


async def test_a_model_whose_thinking_cannot_be_disabled_still_thinks() -> None:
    async with playing("latest", models=("gpt-oss:20b",)) as (_, client):
        body = {"model": "gpt-oss:20b", "messages": user("x"), "stream": False, "think": False}
        assert (await client.post("/api/chat", json=body)).json()["message"]["thinking"]


async def test_before_v0_8_answers_with_tools_are_not_streamed() -> None:
    body = {"model": CHAT, "messages": user("Sing"), "tools": [WEATHER_TOOL]}
    for version, several in (("0.7.0", False), ("0.8.0", True)):
        async with playing(version) as (_, client):
            assert (len(await lines(client, "/api/chat", body)) > 2) is several


async def test_before_v0_18_an_invalid_name_is_a_missing_model() -> None:
    async with playing("0.17.7") as (_, client):
        chat = await client.post("/api/chat", json={"model": "bad name", "messages": []})
        assert (chat.status_code, chat.json()["error"]) == (400, "model is required")
        generated = await client.post("/api/generate", json={"model": "bad name"})
        assert (generated.status_code, generated.json()["error"]) == (404, "model 'bad name' not found")


async def test_a_model_with_insert_accepts_a_suffix() -> None:
    async with playing("0.33.0", models=("insert", "chat")) as (_, client):
        body = {"model": "qwen2.5-coder:1.5b", "prompt": "def f():", "suffix": "return 1", "stream": False}
        assert (await client.post("/api/generate", json=body)).status_code == 200
        refused = await client.post("/api/generate", json={**body, "model": CHAT})
        assert refused.json()["error"] == f"registry.ollama.ai/library/{CHAT} does not support insert"


async def test_capabilities_follow_the_go_template_and_the_header() -> None:
    async with playing("0.33.0") as (_, client):
        template = "{{ .Prompt }}{{ .Suffix }}{{ .Tools }}{{ .Thinking }}"
        data = gguf({"general.architecture": "llama", "llama.vision.block_count": 2})
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        await client.post(f"/api/blobs/{digest}", content=data)
        await client.post("/api/create", json={"model": "x", "files": {"x.gguf": digest}, "template": template})
        shown = (await client.post("/api/show", json={"model": "x"})).json()
        assert set(shown["capabilities"]) == {"completion", "insert", "tools", "thinking", "vision"}


@pytest.mark.parametrize(("version", "hears"), [("0.19.0", False), ("0.20.0", True)])
async def test_audio_is_a_capability_since_v0_20(version: str, hears: bool) -> None:
    async with playing(version, models=("audio",)) as (_, client):
        card = (await client.post("/api/show", json={"model": "gemma4:e4b"})).json()
        wav = base64.b64encode(b"RIFF\x10\0\0\0WAVEfmt ").decode()
        body = {"model": "gemma4:e4b", "prompt": "What?", "images": [wav], "think": False, "stream": False}
        said = (await client.post("/api/generate", json=body)).json()["response"]
    assert ("audio" in card["capabilities"]) is hears
    assert "This is a WAV sound of 16 bytes." in said


def test_mpeg_frames_are_sounds_and_jpegs_are_not() -> None:
    assert describe_media(b"\xff\xfb\x90\x00") == "an MP3 sound of 4 bytes"
    assert describe_media(b"ID3\x04") == "an MP3 sound of 4 bytes"
    assert describe_media(b"\xff\xd8\xff\xe0") == "a JPEG image of 4 bytes"
