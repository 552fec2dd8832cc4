from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import httpx
import pytest

from ollama_mcp.simulator import Latency, Simulator
from tests.contract.gguf_files import FIXTURES, language_model
from tests.simulator.helpers import CHAT, lines, until

SMALL = "all-minilm"
# Slow enough that a pull of 46 MB takes several reports of its progress.
SLOW = Latency(transfer=1e8)


async def _upload(client: httpx.AsyncClient, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert (await client.post(f"/api/blobs/{digest}", content=data)).status_code in (200, 201)
    return digest


async def _created(client: httpx.AsyncClient, body: dict[str, Any]) -> list[str]:
    return [line.get("status") or line["error"] for line in await lines(client, "/api/create", body)]


async def test_a_pull_reports_its_progress_and_installs(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.machine.latency = SLOW
    got = await lines(client, "/api/pull", {"model": SMALL})
    assert (got[0]["status"], got[-1]["status"]) == ("pulling manifest", "success")
    done = [line["completed"] for line in got if line.get("total") == 45_960_996 and "completed" in line]
    assert len(done) > 3
    assert done == sorted(done)
    assert done[-1] == 45_960_996
    assert (await client.post("/api/show", json={"model": SMALL})).status_code == 200


async def test_a_second_pull_finds_everything_there(client: httpx.AsyncClient) -> None:
    for stream in (True, False):
        answer = await client.post("/api/pull", json={"model": SMALL, "stream": stream})
    assert answer.json() == {"status": "success"}
    repeated = await lines(client, "/api/pull", {"model": SMALL})
    assert all(line["completed"] == line["total"] for line in repeated if "total" in line)


async def test_a_cancelled_pull_goes_on_where_it_was(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.machine.latency = SLOW
    async with client.stream("POST", "/api/pull", json={"model": SMALL}) as answer:
        async for line in answer.aiter_lines():
            if json.loads(line).get("completed", 0) > 10_000_000:
                break
    await until(lambda: simulator.disconnects)
    (partial,) = simulator.machine.downloads.partial.values()
    kept = partial.completed
    assert 10_000_000 < kept < 45_960_996
    got = await lines(client, "/api/pull", {"model": SMALL})
    assert next(line["completed"] for line in got if "completed" in line) >= kept


async def test_two_pulls_of_a_model_share_their_progress(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.machine.latency = SLOW
    first = asyncio.create_task(lines(client, "/api/pull", {"model": SMALL}))
    await until(lambda: any(part.completed > 10_000_000 for part in simulator.machine.downloads.partial.values()))
    second = await lines(client, "/api/pull", {"model": SMALL})
    assert next(line["completed"] for line in second if "completed" in line) > 10_000_000
    assert (await first)[-1] == {"status": "success"}


async def test_a_stalled_registry_repeats_the_same_line(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.registry.stalled = True
    pull = asyncio.create_task(lines(client, "/api/pull", {"model": SMALL}))
    await until(lambda: simulator.machine.downloads.partial)
    assert not pull.done()
    simulator.registry.stalled = False
    assert {"status": "success"} in await pull


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("absent", "file does not exist"),
        ("denied/x", "open /usr/share/ollama/.ollama/id_ed25519: no such file or directory"),
        ("rate/x", '429: {"errors":[{"code":"TOOMANYREQUESTS"}]}'),
        ("newer/x", "412: The model you are attempting to pull requires a newer version of Ollama"),
        ("127.0.0.1:1/a/b", 'Get "https://127.0.0.1:1/v2/a/b/manifests/latest": dial tcp 127.0.0.1:1: connect'),
    ],
)
async def test_a_refusal_of_the_registry_is_a_line_in_a_good_answer(
    client: httpx.AsyncClient, model: str, error: str
) -> None:
    got = await lines(client, "/api/pull", {"model": model})
    assert got[0] == {"status": "pulling manifest"}
    assert got[1]["error"].startswith(f"pull model manifest: {error}")
    assert (await client.post("/api/pull", json={"model": model, "stream": False})).status_code == 500


async def test_a_registry_may_be_down_or_the_disk_full(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.registry.disk_free = 1_000_000
    assert "no space left on device" in (await lines(client, "/api/pull", {"model": SMALL}))[-1]["error"]
    simulator.registry.up = False
    assert "no such host" in (await lines(client, "/api/pull", {"model": SMALL}))[-1]["error"]
    pushed = await lines(client, "/api/push", {"model": CHAT})
    assert "no such host" in pushed[-1]["error"]


async def test_hugging_face_has_gguf_repositories(client: httpx.AsyncClient) -> None:
    assert (await lines(client, "/api/pull", {"model": "hf.co/someone/Some-Model-GGUF:Q4_K_M"}))[-1][
        "status"
    ] == "success"
    names = [model["name"] for model in (await client.get("/api/tags")).json()["models"]]
    assert names[0] == "hf.co/someone/Some-Model-GGUF:Q4_K_M"
    assert "file does not exist" in (await lines(client, "/api/pull", {"model": "someone/llama3.2:3b"}))[-1]["error"]


async def test_a_push_needs_a_namespace_of_ones_own(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.machine.latency = Latency(transfer=1e12)
    assert (await lines(client, "/api/push", {"model": CHAT}))[-1]["error"] == "unauthorized: access denied"
    await client.post("/api/copy", json={"source": CHAT, "destination": "me/mine"})
    got = await lines(client, "/api/push", {"model": "me/mine"})
    assert [line["status"] for line in (got[0], *got[-2:])] == ["retrieving manifest", "pushing manifest", "success"]
    answer = await client.post("/api/push", json={"model": "me/mine", "stream": False})
    assert answer.json() == {"status": "success"}


async def test_an_unknown_model_cannot_be_pushed(client: httpx.AsyncClient) -> None:
    got = await lines(client, "/api/push", {"model": "me/absent"})
    assert got[1] == {"status": "couldn't retrieve manifest"}
    assert got[2]["error"].endswith("/registry.ollama.ai/me/absent/latest: no such file or directory")


async def test_a_blob_is_stored_under_its_true_digest(client: httpx.AsyncClient) -> None:
    digest = f"sha256:{hashlib.sha256(b'hi').hexdigest()}"
    assert (await client.head(f"/api/blobs/{digest}")).status_code == 404
    wrong = await client.post(f"/api/blobs/sha256:{'0' * 64}", content=b"hi")
    assert wrong.json()["error"] == f'digest mismatch, expected "sha256:{"0" * 64}", got "{digest}"'
    assert (await client.head(f"/api/blobs/{digest}")).status_code == 200
    assert (await client.post(f"/api/blobs/{digest}", content=b"hi")).status_code == 200
    assert (await client.get(f"/api/blobs/{digest}")).status_code == 405


async def test_a_model_from_another_one_keeps_what_is_not_given(client: httpx.AsyncClient) -> None:
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


async def test_a_model_from_a_file_has_what_the_header_says(client: httpx.AsyncClient) -> None:
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
async def test_a_bad_creation_is_refused_with_its_status(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, error: str
) -> None:
    answer = await client.post("/api/create", json=body)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


async def test_a_file_that_is_no_model_is_refused(client: httpx.AsyncClient) -> None:
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
