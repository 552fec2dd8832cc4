"""POST /api/create."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import pytest

from ollama_mcp.simulator import Simulator
from tests.contract.gguf_files import FIXTURES, language_model
from tests.simulator.helpers import CHAT, lines

SMALL = "all-minilm"


async def _upload(client: httpx.AsyncClient, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert (await client.post(f"/api/blobs/{digest}", content=data)).status_code in (200, 201)
    return digest


async def _created(client: httpx.AsyncClient, body: dict[str, Any]) -> list[str]:
    return [line.get("status") or line["error"] for line in await lines(client, "/api/create", body)]


async def test_a_model_from_another_one_inherits_its_fields(client: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {
        "model": "mario",
        "from": CHAT,
        "system": "You are Mario.",
        "parameters": {"temperature": 1},
    }
    assert (await _created(client, body))[-1] == "success"
    shown = (await client.post("/api/show", json={"model": "mario"})).json()
    assert shown["system"] == "You are Mario."
    assert "temperature" in shown["parameters"]
    assert "<|im_start|>" in shown["parameters"]
    assert shown["details"]["parent_model"] == CHAT
    assert "tools" in shown["capabilities"]


async def test_a_model_from_a_file_is_described_by_its_header(client: httpx.AsyncClient) -> None:
    digest = await _upload(client, (FIXTURES / "tiny-tools.gguf").read_bytes())
    told = await _created(client, {"model": "tiny", "files": {"a.gguf": digest}})
    assert told[0] == "parsing GGUF"
    shown = (await client.post("/api/show", json={"model": "tiny"})).json()
    assert set(shown["capabilities"]) == {"completion", "tools", "thinking"}
    assert shown["details"]["parameter_size"] == "64K"


async def test_an_absent_base_is_pulled_first(client: httpx.AsyncClient) -> None:
    told = await _created(client, {"model": "mine", "from": SMALL})
    assert "pulling manifest" in told
    assert told[-1] == "success"


async def test_only_unquantized_models_can_be_quantized(client: httpx.AsyncClient) -> None:
    digest = await _upload(client, language_model(file_type=1))
    await _created(client, {"model": "half", "files": {"a.gguf": digest}})
    assert (await _created(client, {"model": "q8", "from": "half", "quantize": "q8_0"}))[-1] == "success"
    shown = (await client.post("/api/show", json={"model": "q8"})).json()
    assert shown["details"]["quantization_level"] == "Q8_0"
    again = await _created(client, {"model": "q4", "from": "q8", "quantize": "q4_K"})
    assert again == ["quantization is only supported for F16, BF16 and F32 models"]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"model": "x", "files": {"/a.gguf": "sha256:" + "1" * 64}}, 400, "file path must be relative"),
        ({"model": "x", "files": {"a.gguf": ""}}, 400, "invalid digest format"),
        ({"model": "x", "from": CHAT, "template": "{{ .Nope"}, 400, "template error: template: :1: unclosed action"),
        ({"model": "x"}, 400, "neither 'from' or 'files' was specified"),
        ({"model": "a b", "from": CHAT}, 400, "invalid model name"),
    ],
)
async def test_an_invalid_create_request_is_rejected_with_its_status(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, error: str
) -> None:
    answer = await client.post("/api/create", json=body)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


async def test_a_file_that_is_not_a_model_is_rejected(client: httpx.AsyncClient) -> None:
    digest = await _upload(client, b"no model at all")
    assert await _created(client, {"model": "x", "files": {"a.bin": digest}}) == ["unknown type"]
    told = await _created(client, {"model": "x", "files": {"a.gguf": digest}})
    assert told == ["parsing GGUF", "supplied file was not in GGUF format"]


async def test_safetensors_are_converted_when_their_architecture_is_known(client: httpx.AsyncClient) -> None:
    weights = await _upload(client, b"weights")
    config = await _upload(client, json.dumps({"architectures": ["LlamaForCausalLM"], "hidden_size": 64}).encode())
    files = {"model.safetensors": weights, "config.json": config}
    assert (await _created(client, {"model": "x", "files": files}))[-1] == "success"
    shown = (await client.post("/api/show", json={"model": "x"})).json()
    assert shown["model_info"]["llama.embedding_length"] == 64
    for other in (b'{"architectures": ["Strange"]}', b"no json"):
        files["config.json"] = await _upload(client, other)
        assert (await _created(client, {"model": "y", "files": files}))[-1].startswith("unsupported architecture")


async def test_capabilities_can_be_declared_since_v0_35() -> None:
    async with Simulator("0.35.0") as simulator, httpx.AsyncClient(base_url=simulator.url) as client:
        await _created(client, {"model": "x", "from": CHAT, "capabilities": ["decision"]})
        assert "decision" in (await client.post("/api/show", json={"model": "x"})).json()["capabilities"]
        told = await client.post("/api/create", json={"model": "x", "from": CHAT, "capabilities": ["dance"]})
        assert "unknown capability" in told.json()["error"]
