"""What a proxy in front of Ollama, or a server that lacks an endpoint, does to calls of tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ollama_mcp.simulator import Fault, Simulator
from tests.api.raw_server import RawServer, by_path, chat_end, error, response, serving, stream, version
from tests.support import connected, data, text
from tests.support import error as failed

if TYPE_CHECKING:
    from tests.api.raw_server import Script

MODEL = "llama3.2:3b"
DIGEST = "d" * 64
TOO_LARGE = response(
    "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n"
    "<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx/1.24.0</center>\r\n</body>\r\n</html>",
    413,
    "text/html",
    Server="nginx/1.24.0",
)


def model(name: str, *capabilities: str) -> dict[str, Any]:
    return {"name": name, "model": name, "digest": DIGEST, "size": 10, "capabilities": list(capabilities)}


def host(*chats: Script) -> Script:
    """A host with one model, whose chats answer in turn."""
    turns = iter(chats)
    shown = {"model_info": {"general.architecture": "llama", "llama.context_length": 131072}}
    return by_path(
        version=version("0.33.0"),
        tags=response(json.dumps({"models": [model(MODEL, "completion")]})),
        ps=response('{"models":[]}'),
        show=response(json.dumps({**shown, "capabilities": ["completion"]})),
        chat=lambda request, connection: next(turns)(request, connection),
    )


def chats(server: RawServer) -> list[dict[str, Any]]:
    return [request.json for request in server.requests if request.path == "/api/chat"]


@pytest.mark.parametrize("refusal", [TOO_LARGE, error("request body must not exceed 64 KiB", 413)])
async def test_a_limit_on_bytes_teaches_nothing_about_tokens(refusal: Script):
    arguments = {"model": MODEL, "prompt": "word " * 3_000}
    async with serving(host(refusal, stream(chat_end("Hi")))) as server, connected(server.url) as client:
        assert (await client.call_tool("ollama_chat", arguments)).is_error
        assert len(chats(server)) == 1
        await client.call_tool("ollama_chat", arguments)
    first, second = chats(server)
    assert second.get("options") == first.get("options")


async def test_a_proxys_limit_on_the_body_is_no_long_prompt():
    async with serving(host(TOO_LARGE)) as server, connected(server.url) as client:
        words = failed(await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"}), "invalid_argument")
    assert "client_max_body_size in nginx" in words
    assert "tokens" not in words


@pytest.mark.parametrize("status", [404, 403, 502])
async def test_a_host_that_does_not_list_loaded_models_still_shows_a_model(simulator: Simulator, status: int):
    simulator.faults.add(Fault("status", path="/api/ps", status=status, text="no", times=9))
    async with connected(simulator.url) as client:
        card = data(await client.call_tool("ollama_show_model", {"model": MODEL}))
        state = await client.call_tool("ollama_status", {})
    assert card["context_length"] == 131072
    assert "loaded" not in card
    assert data(state)["hosts"][0]["reachable"]
    assert "loaded: unknown" in text(state)


async def test_a_refused_model_is_not_proposed():
    refusal = error('"all-minilm" does not support chat', 400)
    tags = [model("all-minilm:latest", "completion"), model(MODEL, "completion")]
    for listed, words in ((tags, f"Installed with 'completion': {MODEL}."), (tags[:1], "No other installed model has")):
        script = by_path(
            version=version("0.33.0"),
            tags=response(json.dumps({"models": listed})),
            ps=response('{"models":[]}'),
            show=response('{"capabilities":["completion"],"model_info":{}}'),
            chat=refusal,
        )
        async with serving(script) as server, connected(server.url) as client:
            result = await client.call_tool("ollama_chat", {"model": "all-minilm", "prompt": "Hi"})
        assert words in failed(result, "unsupported")
