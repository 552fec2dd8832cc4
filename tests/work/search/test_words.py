"""Words in a search: what only words can find, what is asked of the model, and an index that is broken."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Simulator
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


async def test_the_next_process_reads_only_what_is_new(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        await ranked(client, "hammer", files=[str(folder)])
    before = _rows(folder)
    (folder / "new.txt").write_text("An anvil.")
    async with reader(simulator, folder) as client:
        found = await ranked(client, "anvil", files=[str(folder)])
    assert places(found)[0] == f"{folder}/new.txt:1"
    assert _rows(folder)[: len(before)] == before and len(_rows(folder)) == len(before) + 1


async def test_a_broken_index_is_made_anew_and_nothing_else_is_lost(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        await ranked(client, "hammer", files=[str(folder)])
    with closing(sqlite3.connect(_store(folder))) as connection, connection:
        # Where FTS5 keeps the lists of its words, beside two rows about these.
        connection.execute("DELETE FROM words_data WHERE id > 10")
    async with reader(simulator, folder) as client:
        found = await ranked(client, "hammer", files=[str(folder)])
    assert found["rows"][0]["by"] == "words, meaning" and places(found)[0] == f"{folder}/tools.txt:1"
    assert found["embedded"] == 0
    assert [path.name for path in folder.parent.glob("*broken*")] == []


async def test_where_there_is_no_index_meaning_is_searched_and_the_answer_says_so(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        await ranked(client, "hammer", files=[str(folder)])
    with closing(sqlite3.connect(_store(folder))) as connection, connection:
        # What a Python without FTS5 meets: the table cannot be made. Here a view has its name.
        connection.execute("DROP TABLE words")
        connection.execute("CREATE VIEW words AS SELECT 1 AS text")
    async with reader(simulator, folder) as client:
        found = await ranked(client, "hammer", files=[str(folder)])
    assert {row["by"] for row in found["rows"]} == {"meaning"}
    assert "Meaning alone was searched" in found["notes"][-1]


def _store(folder: Path) -> Path:
    return folder.parent / "store.sqlite3"


def _rows(folder: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(_store(folder))) as connection:
        return connection.execute("SELECT id, hash FROM word_keys ORDER BY id").fetchall()
