"""What nobody expects to search: binaries, a line of megabytes, odd queries and names, and a store that is broken."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ollama_mcp.simulator import Simulator
from tests.support import connected, data, error
from tests.work.search.client import CAT, MODEL, STOCKS, places, ranked, reader, sent
from tests.work.search.test_known_files import age


async def test_a_folder_of_binaries_is_told_each_time(simulator: Simulator, tmp_path: Path):
    folder = tmp_path / "binaries"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.bin").write_bytes(bytes(range(256)) * 9)
    age(folder)
    async with reader(simulator, folder) as client:
        for _ in range(2):
            result = await client.call_tool("ollama_search", {"query": "cat", "files": [str(folder)], "model": MODEL})
            assert "0 of 3 files were read: Not text: 3." in error(result, "invalid_argument")
        (folder / "one.md").write_text(CAT)
        for _ in range(2):
            found = await ranked(client, "cat", files=[str(folder)])
            assert places(found) == [f"{folder}/one.md:1"] and "not text: 3 files" in found["notes"][0]


@pytest.mark.slow
async def test_a_line_of_ten_megabytes_is_one_place(simulator: Simulator, tmp_path: Path):
    folder = tmp_path / "lines"
    folder.mkdir()
    (folder / "data.txt").write_text("lorem ipsum dolor " * 300_000 + "needle " + "sit amet " * 600_000 + "\nlast line")
    async with reader(simulator, folder) as client:
        found = await ranked(client, "needle", files=[str(folder)], mode="words", model="")
    (row,) = found["rows"]
    assert row["place"] == f"{folder}/data.txt:1" and "needle" in row["excerpt"] and row["matched"] == ["needle"]


@pytest.mark.parametrize(
    "query",
    ['"cat', "cat NEAR/2 sofa", "cat*", "text:cat", "cat AND NOT (sofa", "cat'; DROP TABLE vectors; --", "\ud800 cat"],
)
async def test_no_character_of_a_query_is_more_than_that(simulator: Simulator, query: str):
    async with connected(simulator.url) as client:
        found = await ranked(client, query, texts=[STOCKS, CAT], mode="words", model="")
    assert places(found)[0] == "texts[1]"


@pytest.mark.parametrize("query", ["", " \n\t ", "\u00a0"])
async def test_an_empty_query_is_refused(simulator: Simulator, query: str):
    async with connected(simulator.url) as client:
        refused = await client.call_tool("ollama_search", {"query": query, "texts": [CAT]})
    assert "The query is empty." in error(refused, "invalid_argument") and not sent(simulator)


async def test_a_query_longer_than_the_model_is_told_and_words_alone_take_it(simulator: Simulator):
    query = "cat " * 20_000
    async with connected(simulator.url) as client:
        asked = {"query": query, "texts": [STOCKS, CAT]}
        refused = await client.call_tool("ollama_search", {**asked, "model": MODEL})
        found = data(await client.call_tool("ollama_search", {**asked, "mode": "words"}))
    assert "query is too long" in error(refused, "too_long") and places(found) == ["texts[1]"]


async def test_the_vectors_of_two_models_in_one_store_stay_apart(folder: Path):
    async with Simulator(models=[MODEL, "all-minilm"]) as simulator, reader(simulator, folder) as client:
        one = await ranked(client, "a cat", files=[str(folder)], mode="meaning")
        other = await ranked(client, "a cat", files=[str(folder)], mode="meaning", model="all-minilm")
        again = await ranked(client, "a cat", files=[str(folder)], mode="meaning")
    assert one["embedded"] == other["embedded"] == 3
    assert again == {**one, "embedded": 0}


@pytest.mark.parametrize("broken", ["x'0102'", "zeroblob(8)", "zeroblob(length(vector))"])
async def test_broken_vectors_are_made_again(simulator: Simulator, folder: Path, broken: str):
    async with reader(simulator, folder) as client:
        first = await ranked(client, "hammer", files=[str(folder)])
    with closing(sqlite3.connect(folder.parent / "store.sqlite3")) as connection, connection:
        # Of the query too, which was embedded first.
        connection.execute(f"UPDATE vectors SET vector = {broken} WHERE id IN (SELECT min(id) FROM vectors)")
    async with reader(simulator, folder) as client:
        again = await ranked(client, "hammer", files=[str(folder)])
    assert again["rows"] == first["rows"]


@pytest.mark.parametrize("broken", ["passages = x'01'", "stamp = ''", "notes = '[\"\"]', kind = 'text'"])
async def test_broken_places_are_made_again(simulator: Simulator, folder: Path, broken: str):
    age(folder)
    async with reader(simulator, folder) as client:
        first = await ranked(client, "hammer", files=[str(folder)])
    with closing(sqlite3.connect(folder.parent / "store.sqlite3")) as connection, connection:
        connection.execute(f"UPDATE searched_files SET {broken}")
    async with reader(simulator, folder) as client:
        again = await ranked(client, "hammer", files=[str(folder)])
    assert again["rows"] == first["rows"] and again["embedded"] == 0


async def test_sqlite_needs_no_full_text_search(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        assert (await ranked(client, "hammer", files=[str(folder)]))["rows"][0]["by"] == "words, meaning"
    with closing(sqlite3.connect(folder.parent / "store.sqlite3")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%VIRTUAL%'").fetchall() == []


@pytest.mark.skipif(sys.platform != "linux", reason="names there are Unicode")
async def test_a_name_that_is_no_text_sinks_nothing(simulator: Simulator, folder: Path):
    (folder / os.fsdecode(b"odd\xff.md")).write_text("An anvil.")
    age(folder)
    async with reader(simulator, folder) as client:
        for _ in range(2):
            found = await ranked(client, "hammer", files=[str(folder)], k=1)
            assert places(found) == [f"{folder}/tools.txt:1"]
