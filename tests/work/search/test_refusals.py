"""What ollama_search refuses, and what it tells of what it did not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ollama_mcp.simulator import Simulator
from ollama_mcp.simulator.library import find_library_model
from tests.api.raw_server import Connection, RawRequest, by_path, response, serving, version
from tests.support import connected, data, error
from tests.work.search.client import CAT, MODEL, STOCKS, places, ranked, reader, sent


async def test_files_that_cannot_be_read_are_receipts_and_do_not_sink_the_call(simulator: Simulator, folder: Path):
    (folder / "blob.bin").write_bytes(bytes(range(256)) * 40)
    Image.new("RGB", (8, 8)).save(folder / "cat.png")
    files = [
        f"{folder}/tools.txt",
        f"{folder}/blob.bin",
        f"{folder}/cat.png",
        *(f"{folder}/no{n}.md" for n in range(3)),
    ]
    async with reader(simulator, folder) as client:
        found = await ranked(client, "hammer", files=files)
    assert places(found) == [f"{folder}/tools.txt:1"]
    assert len([note for note in found["notes"] if note.startswith("not read: ")]) == 4
    assert any("no0.md" in note for note in found["notes"]) and found["notes"][-1] == "not read: 2 more"


async def test_what_was_read_only_in_part_is_told_for_a_few_files(simulator: Simulator, folder: Path):
    output: dict[str, Any] = {"output_type": "display_data", "data": {"image/png": "AAAA"}, "metadata": {}}
    cell: dict[str, Any] = {
        "cell_type": "code",
        "source": [CAT],
        "outputs": [output],
        "metadata": {},
        "execution_count": 1,
    }
    book: dict[str, Any] = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    for number in range(4):
        (folder / f"book{number}.ipynb").write_text(json.dumps(book))
    async with reader(simulator, folder) as client:
        found = await ranked(client, "cat", files=[f"{folder}/*.ipynb"])
    *partly, rest = found["notes"]
    assert len(partly) == 3 and all("pictures left out" in note for note in partly)
    assert "book0.ipynb" in partly[0] and rest == "Read only in part: 1 more files."


async def test_texts_are_searched_where_no_file_can_be_read(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        found = await ranked(client, "cat", texts=[CAT], files=[f"{folder}/none.md"])
        words = error(
            await client.call_tool("ollama_search", {"query": "cat", "files": [f"{folder}/none.md"], "model": MODEL}),
            "invalid_argument",
        )
    assert places(found) == ["texts[0]"] and "none.md" in found["notes"][0]
    assert "none.md" in words


async def test_a_folder_that_is_not_allowed_stops_the_call_also_beside_texts(simulator: Simulator, folder: Path):
    other = folder.parent / "other"
    other.mkdir()
    (other / "a.txt").write_text(CAT)
    async with reader(simulator, folder) as client:
        arguments = {"query": "cat", "texts": [CAT], "files": [f"{other}/a.txt"], "model": MODEL}
        error(await client.call_tool("ollama_search", arguments), "not_allowed")
    assert not sent(simulator)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"query": " ", "texts": [CAT]}, "query is empty"),
        ({"query": "cat"}, "nothing to search"),
        ({"query": "cat", "texts": ["", "\n"]}, "all that was given is empty"),
        ({"query": "cat", "texts": [CAT], "k": -1}, "k is -1"),
        ({"query": "cat", "texts": [f"cat {number}" for number in range(40)]}, "40 passages; at most 30"),
    ],
)
async def test_wrong_arguments_are_told_before_anything_is_embedded(
    simulator: Simulator, arguments: dict[str, Any], words: str
):
    async with connected(simulator.url, limits={"passages": 30}) as client:
        result = await client.call_tool("ollama_search", {"model": MODEL, **arguments})
    assert words in error(result, "invalid_argument")
    assert not sent(simulator)


async def test_an_empty_file_and_too_many_files_are_told(simulator: Simulator, folder: Path):
    (folder / "empty.md").write_text("")
    async with reader(simulator, folder, limits={"search_files": 3}) as client:
        call = {"query": "cat", "model": MODEL}
        empty = await client.call_tool("ollama_search", {**call, "files": [f"{folder}/empty.md"]})
        assert "is empty" in error(empty, "invalid_argument")
        many = await client.call_tool("ollama_search", {**call, "files": [str(folder)]})
        assert "limits.search_files" in error(many, "invalid_argument")


async def test_more_places_than_a_list_may_have_are_cut_with_a_note(simulator: Simulator):
    async with connected(simulator.url, limits={"listed": 2}) as client:
        found = await ranked(client, "cat", texts=[CAT, STOCKS, "dog"], k=3)
    assert len(found["rows"]) == 2 and "limits.listed" in found["notes"][-1]


@pytest.mark.parametrize("release", ["latest", "0.17.7"])
async def test_a_chat_model_is_refused_and_embedding_models_are_named(release: str):
    async with Simulator(version=release) as simulator, connected(simulator.url) as client:
        result = await client.call_tool("ollama_search", {"query": "cat", "texts": [CAT], "model": "llama3.2:3b"})
    words = error(result, "unsupported")
    assert "not an embedding model" in words and ("nomic-embed-text" in words or "capability='embedding'" in words)
    assert not sent(simulator)


async def test_without_an_embedding_model_words_are_searched_and_one_is_proposed():
    asked = {"query": "cat", "texts": [STOCKS, CAT]}
    async with Simulator(version="latest", models=["chat"]) as simulator, connected(simulator.url) as client:
        found = data(await client.call_tool("ollama_search", asked))
        words = error(await client.call_tool("ollama_search", {**asked, "mode": "meaning"}), "model_not_found")
    assert places(found) == ["texts[1]"] and "model" not in found
    assert "Words alone" in found["notes"][0] and "nomic-embed-text" in found["notes"][0]
    assert "nomic-embed-text" in words


async def test_files_go_to_a_model_in_the_cloud_only_where_the_settings_let_them(simulator: Simulator, folder: Path):
    simulator.machine.cloud.install(find_library_model("embed"))
    arguments = {"query": "hammer", "model": f"{MODEL}:cloud"}
    async with reader(simulator, folder) as client:
        refused = await client.call_tool("ollama_search", {**arguments, "files": [str(folder)], "texts": [CAT]})
        assert "policy.cloud_files" in error(refused, "not_allowed")
        assert data(await client.call_tool("ollama_search", {**arguments, "texts": [CAT]}))["embedded"] == 1
    async with reader(simulator, folder, policy={"cloud_files": "allow"}) as client:
        found = data(await client.call_tool("ollama_search", {**arguments, "files": [str(folder)]}))
    assert places(found)[0] == f"{folder}/tools.txt:1"


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (["[]"], "without usable numbers"),
        (["[1e200, 1e200]"], "without usable numbers"),
        (["[1.0, 0.0]", "[1.0, 0.0, 0.0]"], "have 2 and 3 numbers"),
    ],
)
async def test_vectors_that_cannot_be_are_a_bad_answer(vectors: list[str], words: str):
    waiting = iter(vectors)

    async def embed(request: RawRequest, connection: Connection) -> None:
        await response(f'{{"model": "m", "embeddings": [{next(waiting)}]}}')(request, connection)

    model = {"name": "m:latest", "model": "m:latest", "digest": "0" * 64, "size": 1}
    host = by_path(
        show=response(json.dumps({"capabilities": ["embedding"]})),
        tags=response(json.dumps({"models": [model]})),
        version=version("0.33.0"),
        embed=embed,
    )
    async with serving(host) as raw, connected(raw.url) as client:
        result = await client.call_tool("ollama_search", {"query": "cat", "texts": [CAT], "model": "m"})
    assert words in error(result, "bad_answer")
