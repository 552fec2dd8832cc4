"""Images and sounds on their way to a model: how a call may give them, and what is sent."""

import base64
import io
import wave
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from PIL import Image

from ollama_mcp.simulator import Simulator
from tests.support import connected, error, texts

MODEL = "llama3.2:3b"
EYES = "gemma3:4b"
EARS = "gemma4:e4b"
HEARING: dict[str, Any] = {"audio": {"enabled": True}}


def _png(width: int = 32, height: int = 32) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 0, 0)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _wav(seconds: float = 0.1) -> str:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setparams((1, 2, 8_000, 0, "NONE", "not compressed"))
        sound.writeframes(bytes(int(16_000 * seconds)))
    return base64.b64encode(buffer.getvalue()).decode()


def _content(data: str, kind: str = "image", media_type: str = "image/png") -> dict[str, str]:
    return {"type": kind, "data": data, "mimeType": media_type}


def _sent(simulator: Simulator, tool: str) -> list[list[str]]:
    """The images of each message, or of the prompt, that went to the model last."""
    path = f"/api/{tool.removeprefix('ollama_')}"
    body = [seen.json for seen in simulator.requests if seen.path == path][-1]
    return [turn.get("images", []) for turn in body["messages"]] if "messages" in body else [body.get("images", [])]


@pytest.fixture
async def ears() -> AsyncGenerator[Simulator]:
    """A simulator with a model that hears and sees."""
    async with Simulator(version="latest", models=("vision", "audio")) as simulator:
        yield simulator


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("tool", ["ollama_chat", "ollama_generate"])
async def test_image_content_of_a_host_is_taken_as_it_is(simulator: Simulator, tool: str, mode: str):
    picture = _png()
    async with connected(simulator.url, mode=mode) as client:
        for images in ([_content(picture), picture], _content(picture)):
            result = await client.call_tool(tool, {"model": EYES, "prompt": "What?", "images": images})
            assert not result.is_error, texts(result)
            assert _sent(simulator, tool) == [[picture] * (2 if isinstance(images, list) else 1)]


async def test_image_content_is_taken_within_messages_too(simulator: Simulator):
    messages = [{"role": "user", "content": "What?", "images": [_content(_png())]}]
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_chat", {"model": EYES, "messages": messages})
    assert not result.is_error, texts(result)
    assert _sent(simulator, "ollama_chat") == [[_png()]]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"type": "text", "text": "secret"}, "is not MCP image content"),
        ({"type": "image", "data": "AAAA"}, "is not MCP image content"),
        ({"type": "image", "data": 5, "mimeType": "image/png"}, "is not MCP image content"),
        ({}, "is not MCP image content"),
        (_content(_png(), media_type="image/png,\nx"), "mimeType"),
        (_content(_png(), media_type="audio/wav"), "image 1 of 1"),
        (_content("%%%"), "image 1 of 1"),
        (_content(base64.b64encode(b"%PDF-1.7").decode()), "it is a PDF"),
    ],
)
async def test_other_objects_are_refused_with_the_form_that_is_taken(
    simulator: Simulator, given: dict[str, Any], words: str
):
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_chat", {"model": EYES, "prompt": "What?", "images": [given]})
    said = error(result, "invalid_argument")
    assert words in said and "image 1 of 1" in said and "secret" not in said
    assert not [seen for seen in simulator.requests if seen.path == "/api/chat"]


async def test_the_limit_of_images_holds_for_all_messages_together(simulator: Simulator):
    messages = [{"role": "user", "content": "What?", "images": [_png()] * 3} for _ in range(7)]
    async with connected(simulator.url) as client:
        said = error(await client.call_tool("ollama_chat", {"model": EYES, "messages": messages}), "invalid_argument")
        assert "21 images" in said and "images.max_count" in said
        result = await client.call_tool("ollama_chat", {"model": EYES, "messages": messages[1:], "images": [_png()]})
        assert not result.is_error, texts(result)
    assert [len(images) for images in _sent(simulator, "ollama_chat")] == [3, 3, 3, 3, 3, 4]


@pytest.mark.parametrize("tool", ["ollama_chat", "ollama_generate"])
async def test_audio_is_offered_only_where_the_settings_turn_it_on(simulator: Simulator, tool: str):
    for settings in ({}, HEARING):
        async with connected(simulator.url, **settings) as client:
            (listed,) = [each for each in (await client.list_tools()).tools if each.name == tool]
            assert ("audio" in listed.input_schema["properties"]) is bool(settings)
    async with connected(simulator.url) as client:
        result = await client.call_tool(tool, {"model": EYES, "prompt": "What?", "audio": [_wav()]})
        assert "The user can turn audio.enabled on." in error(result, "invalid_argument")
    assert not simulator.requests


@pytest.mark.parametrize("tool", ["ollama_chat", "ollama_generate"])
async def test_a_sound_goes_unchanged_beside_the_images_with_a_receipt(ears: Simulator, tool: str):
    arguments = {"model": EARS, "prompt": "What?", "images": [_png()], "audio": _content(_wav(), "audio", "audio/wav")}
    async with connected(ears.url, **HEARING) as client:
        result = await client.call_tool(tool, arguments)
    assert not result.is_error, texts(result)
    assert _sent(ears, tool) == [[_png(), _wav()]]
    assert f"This is a WAV sound of {len(base64.b64decode(_wav()))} bytes." in texts(result)[0]
    assert "WAV, 1 kB, unchanged" in " ".join(texts(result)[1:])


async def test_a_model_without_ears_is_refused_with_those_that_have_them(ears: Simulator):
    async with connected(ears.url, **HEARING) as client:
        result = await client.call_tool("ollama_chat", {"model": EYES, "prompt": "What?", "audio": [_wav()]})
    said = error(result, "unsupported")
    assert "cannot hear" in said and EARS in said
    assert not [seen for seen in ears.requests if seen.path == "/api/chat"]


async def test_sounds_too_stay_at_home_unless_the_settings_let_them_go_to_the_cloud(simulator: Simulator):
    async with connected(simulator.url, **HEARING) as client:
        result = await client.call_tool("ollama_chat", {"model": "kimi-k2.6:cloud", "prompt": "?", "audio": [_wav()]})
    assert "policy.cloud_images" in error(result, "not_allowed")


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        ([_png()], "audio 1 of 1"),
        ([_wav(), _content(_png(), "image")], "audio 2 of 2 is not MCP audio content"),
        ([_wav(), "data:image/png;base64,AAAA"], "audio 2 of 2"),
        ([_wav()] * 21, "images.max_count"),
        ([_wav(0.3)] * 3, "The first 3 audio files are together larger than 0.01 MB (setting images.max_bytes)"),
        ([_wav(1)], "audio 1 of 1: base64 text (16 kB): it is larger than 0.01 MB"),
    ],
)
async def test_a_sound_that_cannot_be_used_is_named(ears: Simulator, audio: list[Any], words: str):
    async with connected(ears.url, **HEARING, images={"max_bytes": 10_000}) as client:
        result = await client.call_tool("ollama_chat", {"model": EARS, "prompt": "What?", "audio": audio})
    assert words in error(result, "invalid_argument")
    assert not [seen for seen in ears.requests if seen.path == "/api/chat"]
