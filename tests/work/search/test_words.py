"""Words in a search: what only words can find, what is asked of the model, and an index that is broken."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Simulator
from ollama_mcp.work.search.words import SPACE
from tests.support import connected, data
from tests.work.search.client import CAT, STOCKS, places, ranked, reader, sent

TEXTS = [
    "The call failed with error 0x80070005 once more.",
    "def passage_key(text): hash of what is embedded",
    "Set limits.embed_chunk, or OLLAMA_KEEP_ALIVE, in version 0.30.1 of the server.",
    "東京都の天気は晴れです。",
    "class ModelCard: what a model can do",
    STOCKS,
    CAT,
]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("0x80070005", 0),
        ("passage_key", 1),
        ("OLLAMA_KEEP_ALIVE", 2),
        ("v0.30.1", 2),
        ("embed_chunk", 2),
        ("京都", 3),
        ("晴", 3),
        ("model card", 4),
        ("stock", 5),
        ('"cat" NEAR(sofa) *', 6),
    ],
)
async def test_words_find_names_numbers_and_characters_without_a_request(simulator: Simulator, query: str, first: int):
    async with connected(simulator.url) as client:
        found = data(await client.call_tool("ollama_search", {"query": query, "texts": TEXTS, "mode": "words"}))
    assert places(found)[0] == f"texts[{first}]"
    assert {row["by"] for row in found["rows"]} == {"words"} and "model" not in found
    assert not sent(simulator)


async def test_both_searches_make_one_order_and_each_place_says_what_found_it(simulator: Simulator):
    async with connected(simulator.url) as client:
        both = await ranked(client, "passage_key", texts=TEXTS)
        meaning = await ranked(client, "passage_key", texts=TEXTS, mode="meaning")
    best, *others = both["rows"]
    assert (best["index"], best["by"], best["score"]) == (1, "words, meaning", 1.0)
    assert others[-1]["by"] == "meaning" and others[-1]["score"] < best["score"]
    assert {row["by"] for row in meaning["rows"]} == {"meaning"} and len(meaning["rows"]) == len(TEXTS)


async def test_words_that_are_nowhere_find_nothing_and_say_so(simulator: Simulator):
    async with connected(simulator.url) as client:
        for query in ("hippopotamus", "*", '""', "AND OR"):
            asked = {"query": query, "texts": [STOCKS], "mode": "words"}
            found = data(await client.call_tool("ollama_search", asked))
            assert found["rows"] == [] and found["notes"] == ["No passage holds any word of the query."]


async def test_what_was_searched_before_changes_no_score(simulator: Simulator, folder: Path):
    asked: dict[str, Any] = {"query": "the cat", "texts": TEXTS, "mode": "words"}
    async with reader(simulator, folder) as client:
        before = data(await client.call_tool("ollama_search", asked))
        await client.call_tool("ollama_search", {**asked, "texts": [f"cat {number} of many" for number in range(500)]})
        after = data(await client.call_tool("ollama_search", asked))
    assert places(after) == places(before) and places(before)[0] == "texts[6]"


async def test_the_next_process_lists_only_the_words_that_are_new(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        await ranked(client, "hammer", files=[str(folder)])
    before = _lists(folder)
    (folder / "new.txt").write_text("An anvil.")
    async with reader(simulator, folder) as client:
        found = await ranked(client, "anvil", files=[str(folder)])
    assert places(found)[0] == f"{folder}/new.txt:1"
    assert before and _lists(folder)[: len(before)] == before and len(_lists(folder)) == len(before) + 1


async def test_no_word_of_a_passage_is_in_the_store(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        await ranked(client, "hammer", files=[str(folder)])
    assert b"hedgehog" not in b"".join(_lists(folder)).lower()


async def test_broken_lists_of_words_are_made_anew(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        await ranked(client, "hammer", files=[str(folder)])
    with closing(sqlite3.connect(_store(folder))) as connection, connection:
        connection.execute(f"UPDATE vectors SET vector = x'01020304050607' WHERE id IN ({_WORD_IDS})", (SPACE,))
    async with reader(simulator, folder) as client:
        found = await ranked(client, "hammer", files=[str(folder)])
    assert found["rows"][0]["by"] == "words, meaning" and places(found)[0] == f"{folder}/tools.txt:1"
    assert found["embedded"] == 0


async def test_how_rare_a_word_is_counts_with_numpy_and_without_it(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    texts = [f"common words {'rare ' * (number % 7 == 3)}and number {number} {'x ' * number}" for number in range(300)]
    texts += ["common common common", "", "\ud800 rare", "ünïcode rare"]
    asked: dict[str, Any] = {"query": "common rare x 17", "texts": texts, "mode": "words", "k": 100}
    async with connected(simulator.url) as client:
        sorted_lists = data(await client.call_tool("ollama_search", asked))
    monkeypatch.setitem(sys.modules, "numpy", None)
    async with connected(simulator.url) as client:
        scanned = data(await client.call_tool("ollama_search", asked))
    assert sorted_lists["rows"][0]["index"] == 17
    assert [row["score"] for row in scanned["rows"]] == pytest.approx(
        [row["score"] for row in sorted_lists["rows"]], abs=2e-4
    )


def _store(folder: Path) -> Path:
    return folder.parent / "store.sqlite3"


_WORD_IDS = "SELECT k.vector FROM embedding_keys k JOIN spaces s ON s.id = k.space WHERE s.name = ?"


def _lists(folder: Path) -> list[bytes]:
    with closing(sqlite3.connect(_store(folder))) as connection:
        found = connection.execute(f"SELECT vector FROM vectors WHERE id IN ({_WORD_IDS}) ORDER BY id", (SPACE,))
        return [vector for (vector,) in found]
