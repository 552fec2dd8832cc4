"""The host and its models: what is sent, and what comes back."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from ollama_mcp import api
from ollama_mcp.api import (
    ChatMessage,
    CreateRequest,
    EmbedRequest,
    OllamaClient,
)
from ollama_mcp.errors import ApiError, BadAnswer, BadRequest, InvalidArgument, ServerError
from tests.api.raw_server import blob_exists, by_path, error, response, serving, stream, version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


DIGEST = "sha256:" + "0" * 64


async def test_all_exported_names_exist() -> None:
    assert [name for name in api.__all__ if not hasattr(api, name)] == []
    with pytest.raises(AttributeError):
        _ = api.nonsense


async def test_an_ollama_is_alive() -> None:
    async with serving(response("Ollama is running", 200, "text/plain")) as server, OllamaClient(server.url) as client:
        await client.ping()


async def test_an_ollama_behind_a_proxys_own_start_page_is_alive() -> None:
    page = response("<h1>Hello</h1>", 200, "text/html")
    async with serving(page, version("0.33.0")) as server, OllamaClient(server.url) as client:
        await client.ping()
    async with serving(page) as server, OllamaClient(server.url) as client:
        with pytest.raises(ApiError) as caught:
            await client.ping()
        assert caught.value.kind == "bad_answer"


async def test_the_version_is_asked_once_for_many_callers() -> None:
    async with serving(version("0.33.0-simulator")) as server, OllamaClient(server.url, name="box") as client:
        assert set(await asyncio.gather(*(client.version() for _ in range(20)))) == {"0.33.0-simulator"}
        assert (await client.server_version()).numbers == (0, 33, 0)
        assert len(server.requests) == 1
        assert (client.base_url, client.name) == (server.url, "box")


async def test_account_status_and_recommendations_are_read() -> None:
    scripts = by_path(
        status=response('{"cloud":{"disabled":true,"source":"env"}}'),
        me=response('{"id":"1","name":"ann","email":"a@b","plan":null}'),
        **{"model-recommendations": response('{"recommendations":[{"model":"gemma4","vram_bytes":12000000000}]}')},
    )
    async with serving(scripts) as server, OllamaClient(server.url) as client:
        assert (await client.status()).disabled
        account = await client.me()
        assert (account.name, account.plan) == ("ann", "")
        [recommended] = await client.recommendations()
        assert (recommended.model, recommended.vram_bytes) == ("gemma4", 12_000_000_000)


async def test_an_account_that_an_older_server_could_not_ask_for_is_an_error() -> None:
    async with serving(response("null")) as server, OllamaClient(server.url) as client:
        with pytest.raises(ServerError, match="reach ollama"):
            await client.me()


async def test_lists_survive_nulls_strange_times_and_unknown_fields() -> None:
    entry: dict[str, Any] = {
        "name": "stub:latest",
        "modified_at": "2026-11-21T02:39:24.000935813+01:00",
        "details": {"families": None, "parameter_size": "64K"},
        "capabilities": None,
        "future": {"x": 1},
    }
    running = {"name": "a", "expires_at": "2319-03-03T00:00:00Z", "size": 5, "size_vram": 0}
    scripts = by_path(
        tags=response(json.dumps({"models": [entry, {"name": "b", "modified_at": "soon"}]})),
        ps=response(json.dumps({"models": [running]})),
    )
    async with serving(scripts) as server, OllamaClient(server.url) as client:
        stub, other = await client.tags()
        assert stub.details.families == []
        assert stub.modified_at is not None
        assert stub.modified_at.microsecond == 935
        assert (other.modified_at, other.capabilities) == (None, None)
        [loaded] = await client.ps()
        assert loaded.expires_at is not None
        assert loaded.expires_at.year == 2319
    async with serving(response('{"models":null}')) as server, OllamaClient(server.url) as client:
        assert await client.tags() == []


async def test_a_model_card_tells_lengths_from_the_models_own_keys() -> None:
    card = {
        "details": {"family": "llama", "context_length": 1},
        "model_info": {
            "general.architecture": "llama",
            "general.parameter_count": 64064,
            "llama.context_length": 512,
            "llama.embedding_length": None,
            "tokenizer.ggml.tokens": None,
        },
        "thinking": {"values": [False, "low", True], "default": "low"},
    }
    async with serving(response(json.dumps(card)), response("{}")) as server, OllamaClient(server.url) as client:
        shown = await client.show("m", verbose=True)
        assert (shown.context_length, shown.embedding_length, shown.parameter_count) == (512, None, 64064)
        assert shown.thinking is not None
        assert shown.thinking.values == [False, "low", True]
        assert server.requests[0].json == {"model": "m", "name": "m", "verbose": True}
        empty = await client.show("m")
        assert (empty.context_length, empty.parameter_count, empty.capabilities) == (None, None, None)
        assert server.requests[1].json == {"model": "m", "name": "m"}


async def test_copy_and_delete_send_bodies_and_take_empty_answers() -> None:
    async with serving(response("")) as server, OllamaClient(server.url) as client:
        await client.copy("a", "b")
        await client.delete("a")
        copied, deleted = server.requests
        assert copied.json == {"source": "a", "destination": "b"}
        assert (deleted.method, deleted.path, deleted.json) == ("DELETE", "/api/delete", {"model": "a", "name": "a"})


@pytest.mark.parametrize("body", ['{"ok":true}', '{"error":"boom"}', "<html>"])
async def test_a_web_server_that_is_no_ollama_never_looks_like_success(body: str) -> None:
    async with serving(response(body)) as server, OllamaClient(server.url) as client:
        calls = (
            client.tags(),
            client.ps(),
            client.copy("a", "b"),
            client.delete("a"),
            client.embed(EmbedRequest(model="m", input=["x"])),
        )
        for call in calls:
            with pytest.raises(BadAnswer, match="did not respond as Ollama does"):
                await call


async def test_a_pull_tells_its_progress_and_ends_with_success() -> None:
    lines = [
        {"status": "pulling manifest"},
        {"status": "pulling abc", "digest": DIGEST, "total": 10},
        {"status": "pulling abc", "digest": DIGEST, "total": 10, "completed": 7},
        {"status": "success"},
    ]
    async with serving(stream(*lines)) as server, OllamaClient(server.url) as client:
        async with client.pull("m", insecure=True) as steps:
            seen = [(step.total, step.completed, step.done) async for step in steps]
            assert steps.text == steps.thinking == ""
        assert seen == [(None, None, False), (10, 0, False), (10, 7, False), (None, None, True)]
        assert server.requests[0].json == {"model": "m", "name": "m", "insecure": True}
        assert (await client.push("m").collect()).done
        assert (server.requests[1].path, server.requests[1].json) == ("/api/push", {"model": "m", "name": "m"})


@pytest.mark.parametrize("lines", [[{"status": "pulling manifest"}], [{"status": "a"}, {"total": 1}], []])
async def test_a_pull_that_ends_without_success_failed(lines: list[dict[str, Any]]) -> None:
    async with serving(stream(*lines)) as server, OllamaClient(server.url) as client:
        with pytest.raises(ApiError):
            await client.pull("m").collect()


async def test_create_sends_the_structured_form_under_both_names() -> None:
    async with serving(version("0.35.0"), stream({"status": "success"})) as server, OllamaClient(server.url) as client:
        request = CreateRequest(
            model="m",
            from_="base",
            parameters={"stop": ["a"]},
            capabilities=["decision"],
            messages=[ChatMessage(role="user", content="hi")],
        )
        await client.create(request).collect()
        assert server.requests[1].json == {
            "name": "m",
            "model": "m",
            "from": "base",
            "parameters": {"stop": ["a"]},
            "capabilities": ["decision"],
            "messages": [{"role": "user", "content": "hi"}],
        }


async def test_a_blob_is_uploaded_only_where_it_is_missing() -> None:
    data = b"x" * 300_000
    digest = "sha256:" + hashlib.sha256(data).hexdigest()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 100_000):
            yield data[at : at + 100_000]

    missing, created = response("", 404), response("", 201)
    for content, size, header in ((data, None, "300000"), (pieces(), len(data), "300000"), (pieces(), None, None)):
        async with serving(missing, created) as server, OllamaClient(server.url) as client:
            assert await client.push_blob(digest, content, size=size)
            head, upload = server.requests
            assert (head.method, upload.method, upload.path) == ("HEAD", "POST", f"/api/blobs/{digest}")
            assert upload.body == data
            assert upload.headers.get("content-length") == header
    async with serving(blob_exists) as server, OllamaClient(server.url) as client:
        assert not await client.push_blob(digest, data)
        assert [request.method for request in server.requests] == ["HEAD"]


async def test_an_upload_that_the_host_refuses_or_the_source_breaks_off_is_an_error() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise InvalidArgument("the file changed")

    mismatch = error('digest mismatch, expected "a", got "b"', 400)
    async with serving(response("", 404), mismatch) as server, OllamaClient(server.url) as client:
        with pytest.raises(BadRequest, match="digest mismatch"):
            await client.push_blob(DIGEST, b"a")
    async with serving(response("", 404)) as server, OllamaClient(server.url) as client:
        with pytest.raises(InvalidArgument, match="changed"):
            await client.push_blob(DIGEST, broken(), size=2)
        assert client.requests_in_flight == 0
    async with serving(response("", 500)) as server, OllamaClient(server.url) as client:
        with pytest.raises(ServerError):
            await client.blob_exists(DIGEST)


async def test_many_blobs_are_looked_up_over_one_connection() -> None:
    async with serving(blob_exists) as server, OllamaClient(server.url) as client:
        digests = [f"sha256:{number:064x}" for number in range(40)]
        assert [await client.blob_exists(digest) for digest in digests] == [True] * 40
        assert [request.path for request in server.requests] == [f"/api/blobs/{digest}" for digest in digests]
        assert len(server.connections) == 1


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [(200, "text/html", "<html>"), (200, "application/json", "{}"), (204, "text/plain", ""), (404, "text/html", "")],
)
async def test_a_web_server_that_knows_every_path_has_no_blobs(status: int, kind: str, body: str) -> None:
    async with serving(response(body, status, kind)) as server, OllamaClient(server.url) as client:
        with pytest.raises(
            BadAnswer, match=f"did not respond as Ollama does: status {status} for {len(body)} bytes of"
        ):
            await client.blob_exists(DIGEST)
        with pytest.raises(BadAnswer):
            await client.push_blob(DIGEST, b"a")
        assert {request.method for request in server.requests} == {"HEAD"}


async def test_a_proxy_may_call_nothing_bytes() -> None:
    async with serving(response("", 200, "application/octet-stream")) as server, OllamaClient(server.url) as client:
        assert await client.blob_exists(DIGEST)


@pytest.mark.parametrize("digest", ["sha256-" + "0" * 64, "sha256:xyz", "sha256:" + "A" * 64, "../../etc"])
async def test_a_digest_that_is_none_is_refused_unsent(digest: str) -> None:
    with pytest.raises(InvalidArgument, match="64 hex digits"):
        await OllamaClient("http://127.0.0.1:1").blob_exists(digest)
