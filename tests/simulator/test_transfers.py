from __future__ import annotations

import asyncio
import hashlib
import json

import httpx
import pytest

from ollama_mcp.simulator import Latency, Simulator
from tests.simulator.helpers import CHAT, lines, until

SMALL = "all-minilm"
# Slow enough for several progress reports in a pull of 46 MB.
SLOW = Latency(transfer=1e8)


async def test_a_pull_reports_its_progress_and_installs(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.machine.latency = SLOW
    got = await lines(client, "/api/pull", {"model": SMALL})
    assert (got[0]["status"], got[-1]["status"]) == ("pulling manifest", "success")
    done = [line["completed"] for line in got if line.get("total") == 45_960_996 and "completed" in line]
    assert len(done) > 3
    assert done == sorted(done)
    assert done[-1] == 45_960_996
    assert (await client.post("/api/show", json={"model": SMALL})).status_code == 200


async def test_a_second_pull_finds_complete_blobs(client: httpx.AsyncClient) -> None:
    for stream in (True, False):
        answer = await client.post("/api/pull", json={"model": SMALL, "stream": stream})
    assert answer.json() == {"status": "success"}
    repeated = await lines(client, "/api/pull", {"model": SMALL})
    assert all(line["completed"] == line["total"] for line in repeated if "total" in line)


async def test_a_cancelled_pull_resumes(client: httpx.AsyncClient, simulator: Simulator) -> None:
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
async def test_a_registry_error_is_a_line_of_a_200_response(client: httpx.AsyncClient, model: str, error: str) -> None:
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


async def test_a_push_needs_an_own_namespace(client: httpx.AsyncClient, simulator: Simulator) -> None:
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


async def test_a_blob_is_stored_under_the_digest_of_its_content(client: httpx.AsyncClient) -> None:
    digest = f"sha256:{hashlib.sha256(b'hi').hexdigest()}"
    assert (await client.head(f"/api/blobs/{digest}")).status_code == 404
    wrong = await client.post(f"/api/blobs/sha256:{'0' * 64}", content=b"hi")
    assert wrong.json()["error"] == f'digest mismatch, expected "sha256:{"0" * 64}", got "{digest}"'
    assert (await client.head(f"/api/blobs/{digest}")).status_code == 200
    assert (await client.post(f"/api/blobs/{digest}", content=b"hi")).status_code == 200
    assert (await client.get(f"/api/blobs/{digest}")).status_code == 405
