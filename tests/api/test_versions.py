"""Older and unknown servers: what they would ignore is refused, or their answer is checked."""

from __future__ import annotations

from typing import Any

import pytest

from ollama_mcp.api import (
    CreateRequest,
    DecisionRequest,
    EmbedRequest,
    Feature,
    GenerateRequest,
    OllamaClient,
    parse_version,
)
from ollama_mcp.errors import UnsupportedByVersion
from tests.api.raw_server import NOT_FOUND, by_path, generate_chunk, generate_end, response, serving, stream, version

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0.33.0", (0, 33, 0)),
        ("v0.12.0-rc1", (0, 12, 0)),
        ("0.35", (0, 35, 0)),
        ("0.33.0-simulator", (0, 33, 0)),
        ("0.0.0", (0, 0, 0)),
        ("nightly", (0, 0, 0)),
    ],
)
async def test_versions_are_read_leniently(text: str, numbers: tuple[int, int, int]) -> None:
    parsed = parse_version(text)
    assert (parsed.numbers, str(parsed), parsed.known) == (numbers, text, numbers != (0, 0, 0))
    assert parsed.supports(Feature.SYSTEMONE) is (numbers in ((0, 35, 0), (0, 0, 0)))


async def test_versions_compare_by_their_numbers() -> None:
    assert parse_version("0.9.6") < parse_version("0.12.11-rc0") < parse_version("0.40.12")


GATED: list[tuple[dict[str, Any], str]] = [
    ({"think": True}, "0.9.0"),
    ({"think": "low"}, "0.11.1"),
    ({"format": {"type": "object"}}, "0.5.0"),
    ({"truncate": False}, "0.12.6"),
    ({"shift": True}, "0.12.6"),
    ({"logprobs": True}, "0.12.11"),
    ({"top_logprobs": 2}, "0.12.11"),
]


@pytest.mark.parametrize(("fields", "since"), GATED)
async def test_what_an_older_server_would_ignore_is_refused(fields: dict[str, Any], since: str) -> None:
    async with serving(version("0.4.7")) as server, OllamaClient(server.url) as client:
        for _ in range(2):
            with pytest.raises(UnsupportedByVersion, match=since) as caught:
                await client.generate(GenerateRequest(model="m", prompt="x", **fields)).collect()
            assert "Ollama 0.4.7" in caught.value.message
        assert {request.path for request in server.requests} == {"/api/version"}
    async with serving(version(since), stream(generate_end("x"))) as server, OllamaClient(server.url) as client:
        await client.generate(GenerateRequest(model="m", prompt="x", **fields)).collect()


async def test_not_to_think_asks_nothing_of_an_older_server_whose_thinking_stands_in_tags_anyway() -> None:
    # v0.5.7 takes any value of think and ignores it, as recorded; so the field may go out without asking the version.
    scripts = by_path(
        version=version("0.5.7"), generate=stream(generate_chunk("<think>Hm.</think>"), generate_end("Yes."))
    )
    async with serving(scripts) as server, OllamaClient(server.url) as client:
        answer = await client.generate(GenerateRequest(model="m", prompt="x", think=False)).collect()
        assert (answer.text, answer.thinking) == ("Yes.", "Hm.")
        assert [(request.path, request.json["think"]) for request in server.requests] == [("/api/generate", False)]


CREATE_GATED: list[tuple[dict[str, Any], str]] = [
    ({"from_": "a"}, "0.5.5"),
    ({"renderer": "a"}, "0.12.0"),
    ({"requires": "0.14.0"}, "0.14.0"),
    ({"draft_files": {"a": DIGEST}}, "0.30.0"),
    ({"capabilities": ["decision"]}, "0.35.0"),
]


@pytest.mark.parametrize(("fields", "since"), CREATE_GATED)
async def test_create_fields_are_refused_where_an_older_server_would_ignore_them(
    fields: dict[str, Any], since: str
) -> None:
    numbers = [int(part) for part in since.split(".")]
    before = f"0.{numbers[1] - 1}.9" if numbers[1] > 5 else "0.5.4"
    async with serving(version(before)) as server, OllamaClient(server.url) as client:
        with pytest.raises(UnsupportedByVersion, match=since):
            await client.create(CreateRequest(model="m", **fields)).collect()


async def test_a_server_that_was_updated_meanwhile_is_no_longer_refused_its_new_features() -> None:
    embedded = response('{"embeddings":[[1.0]]}')
    async with serving(version("0.11.10"), version("0.33.0"), embedded) as server, OllamaClient(server.url) as client:
        assert str(await client.server_version()) == "0.11.10"
        assert await client.embed(EmbedRequest(model="m", input="a", dimensions=2))
        assert str(await client.server_version()) == "0.33.0"


async def test_embedding_and_decision_fields_are_refused_where_an_older_server_would_ignore_them() -> None:
    async with serving(version("0.11.10")) as server, OllamaClient(server.url) as client:
        with pytest.raises(UnsupportedByVersion, match=r"0\.11\.11"):
            await client.embed(EmbedRequest(model="m", input="a", dimensions=2))
    async with serving(version("0.35.0")) as server, OllamaClient(server.url) as client:
        with pytest.raises(UnsupportedByVersion, match=r"0\.35\.1"):
            await client.systemone(DecisionRequest(model="m", state="x", questions={}, images=["aGk="]))


async def test_a_server_of_unknown_version_is_asked_and_its_answer_checked() -> None:
    scripts = by_path(
        version=version("0.0.0"),
        embed=response('{"embeddings":[[1.0,2.0,3.0]]}'),
        generate=stream(generate_chunk("so"), generate_end("me")),
    )
    async with serving(scripts) as server, OllamaClient(server.url) as client:
        with pytest.raises(UnsupportedByVersion, match="dimensions"):
            await client.embed(EmbedRequest(model="m", input="a", dimensions=2))
        assert (await client.embed(EmbedRequest(model="m", input="a", dimensions=4))).embeddings == [[1.0, 2.0, 3.0]]
        with pytest.raises(UnsupportedByVersion, match="logprobs") as caught:
            await client.generate(GenerateRequest(model="m", prompt="x", logprobs=True)).collect()
        assert caught.value.partial == "some"
        assert (await client.generate(GenerateRequest(model="m", prompt="x", think=True)).collect()).text == "some"


async def test_an_absent_embed_with_dimensions_is_refused() -> None:
    async with serving(by_path(version=version("0.0.0"))) as server, OllamaClient(server.url) as client:
        with pytest.raises(UnsupportedByVersion, match="POST /api/embed"):
            await client.embed(EmbedRequest(model="m", input="a", dimensions=2))


async def test_an_absent_decision_route_names_the_version() -> None:
    async with serving(NOT_FOUND) as server, OllamaClient(server.url) as client:
        with pytest.raises(UnsupportedByVersion, match=r"0\.35\.0"):
            await client.systemone(DecisionRequest(model="m", state="x", questions={}))
