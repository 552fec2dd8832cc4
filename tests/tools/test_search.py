"""ollama_search through a real client: what is nearest comes first, with its place and its best lines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ollama_mcp._command import how_to_install
from ollama_mcp.simulator import Simulator
from ollama_mcp.work.search.excerpts import MAX_CHARS
from tests.support import connected, data, error, text
from tests.work.search.client import CAT, MODEL, STOCKS, places, ranked, reader, sent, write_notes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Notes about different things, in a folder that the server may read."""
    return write_notes(tmp_path)


async def test_the_nearest_place_comes_first_with_its_lines(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        result = await client.call_tool(
            "ollama_search", {"query": "interest rate of the bank", "files": [str(folder)], "model": MODEL}
        )
    found = data(result)
    assert places(found)[0] == f"{folder}/money.md:1-2"
    assert sorted(places(found)) == [f"{folder}/animals.md:1-8", f"{folder}/money.md:1-2", f"{folder}/tools.txt:1"]
    scores = [row["score"] for row in found["rows"]]
    assert scores == sorted(scores, reverse=True) and 0.2 < scores[0] <= 1
    assert (found["passages"], found["embedded"]) == (3, 3)
    words = text(result)
    assert f"{scores[0]:.4f} | {folder}/money.md:1-2" in words and "3 embedded now" in words
    assert found["rows"][0]["excerpt"] == f"{STOCKS} The bank raised its interest rate."


async def test_the_words_that_the_model_was_trained_with_go_before_query_and_passage(
    simulator: Simulator, folder: Path
):
    async with reader(simulator, folder) as client:
        await ranked(client, "a cat", files=[f"{folder}/tools.txt"])
    assert sent(simulator) == [["search_query: a cat"], ["search_document: A hammer drives nails into wood."]]
    assert all(seen.json["truncate"] is False for seen in simulator.requests if seen.path == "/api/embed")


async def test_texts_are_named_by_their_index_and_mix_with_files_globs_and_ranges(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        found = await ranked(
            client,
            "hammer and nails",
            files=[f"{folder}/*.txt", f"{folder}/animals.md:3-5"],
            texts=[STOCKS, "nails and a hammer", " "],
        )
    assert places(found)[:2] == ["texts[1]", f"{folder}/tools.txt:1"]
    assert set(places(found)[2:]) == {"texts[0]", f"{folder}/animals.md:3"}
    assert found["rows"][0]["index"] == 1 and "place" not in found["rows"][0]


async def test_an_excerpt_shows_the_words_of_the_query_where_they_stand_together(simulator: Simulator, folder: Path):
    filler = "Nothing of interest stands in this line.\n"
    (folder / "long.txt").write_text(
        "A token.\n" + 9 * filler + "refresh_token() expired,\n  see the Tokens.\n" + 9 * filler
    )
    asked = {"query": "expired refresh token", "files": [f"{folder}/long.txt"], "mode": "words"}
    async with reader(simulator, folder) as client:
        result = await client.call_tool("ollama_search", asked)
        without = await client.call_tool("ollama_search", {**asked, "excerpts": False})
    row = data(result)["rows"][0]
    assert "refresh_token() expired, see the Tokens." in row["excerpt"] and row["excerpt"] in text(result)
    assert row["excerpt"].startswith("…") and row["excerpt"].endswith("…") and len(row["excerpt"]) <= MAX_CHARS
    assert row["matched"] == ["refresh_token", "expired", "Tokens"]
    assert not {"excerpt", "matched"} & data(without)["rows"][0].keys() and "expired" not in text(without)


async def test_excerpts_of_many_places_stay_within_their_budget(simulator: Simulator):
    texts = [f"{'Word ' * 60}number{number} 東京" for number in range(100)]
    async with connected(simulator.url) as client:
        found = data(
            await client.call_tool(
                "ollama_search", {"query": "東京 number7", "texts": texts, "mode": "words", "k": 100}
            )
        )
    rows = found["rows"]
    assert len(rows) == 100 and sum(len(row["excerpt"]) for row in rows) <= 8_000
    assert (rows[0]["index"], rows[0]["matched"]) == (7, ["number7", "東京"])


@pytest.mark.parametrize("name", ["plain.md", "with space.md", "r[1]*.md", "no:3-4", "ünï.md", "10-20"])
async def test_chat_reads_the_places_as_they_were_found(simulator: Simulator, folder: Path, name: str):
    (folder / name).write_text(f"# Title\n\n{STOCKS * 30}\n\n{CAT}\nIt purrs.\n\n\n{STOCKS * 30}\n")
    async with reader(simulator, folder) as client:
        found = data(
            await client.call_tool("ollama_search", {"query": "purrs", "files": [str(folder)], "mode": "words", "k": 1})
        )
        (place,) = places(found)
        assert place.startswith(f"{folder}/{name}:")
        answer = await client.call_tool("ollama_chat", {"prompt": "Why?", "files": [place]})
    assert not answer.is_error
    sent_text = str(simulator.requests[-1].json["messages"])
    first, _, last = place.rpartition(":")[2].partition("-")
    lines = (folder / name).read_text().split("\n")[int(first) - 1 : int(last or first)]
    assert "It purrs." in lines and all(line in sent_text for line in lines)
    assert f'lines=\\"{first}-{last or first}\\"' in sent_text or f'lines="{first}-{last or first}"' in sent_text


async def test_a_text_that_stands_in_several_places_is_embedded_once_and_ties_come_in_reading_order(
    simulator: Simulator, folder: Path
):
    for name in ("z.txt", "b.txt"):
        (folder / name).write_text(f"\n{CAT}\n")
    async with reader(simulator, folder) as client:
        found = await ranked(client, "cat on a sofa", files=[f"{folder}/[zb].txt"], texts=[STOCKS, CAT, CAT], k=3)
    assert places(found) == ["texts[1]", "texts[2]", f"{folder}/b.txt:2"]
    assert len({row["score"] for row in found["rows"]}) == 1
    assert (found["passages"], found["embedded"]) == (5, 2)


async def test_a_row_of_a_table_is_a_passage_with_the_number_that_a_batch_gives_it(simulator: Simulator, folder: Path):
    table = 'id;words\n1;"A cat,\nasleep; on the sofa"\n\n2;The bank raised its rate\n3;"Hammer and ""nails"""\n'
    (folder / "table.csv").write_text(table)
    (folder / "table.jsonl").write_text('{"words": "A dog barks"}\n\n{"words": "Rain and snow"}\n')
    files = [f"{folder}/table.csv", f"{folder}/table.jsonl"]
    async with reader(simulator, folder) as client:
        result = await client.call_tool("ollama_search", {"query": "rate of the bank", "files": files, "model": MODEL})
        found = data(result)
        part = await ranked(client, "rate of the bank", files=[f"{folder}/table.csv:5-6"])
    best = found["rows"][0]
    assert (best["place"], best["row"], best["excerpt"]) == (f"{folder}/table.csv:5", 2, "2;The bank raised its rate")
    assert sorted((row["place"].rpartition("/")[2], row["row"]) for row in found["rows"]) == [
        ("table.csv:2-3", 1),
        ("table.csv:5", 2),
        ("table.csv:6", 3),
        ("table.jsonl:1", 1),
        ("table.jsonl:3", 2),
    ]
    assert f"{folder}/table.csv:5 | 2 | 2;The bank" in text(result)
    # Of a range of lines nobody knows which rows they are; each is a passage all the same.
    assert [row.get("row") for row in part["rows"]] == [None, None]


async def test_a_long_row_is_one_place_and_a_table_that_is_none_is_read_as_text(simulator: Simulator, folder: Path):
    (folder / "long.csv").write_text("id,words\n" + "".join(f"{n},{'many words here ' * 300}{n}\n" for n in (1, 2)))
    (folder / "array.jsonl").write_text('[{"words": "a"},\n {"words": "b"}]\n')
    async with reader(simulator, folder) as client:
        long = await ranked(client, "many words", files=[f"{folder}/long.csv"])
        array = await ranked(client, "words", files=[f"{folder}/array.jsonl"])
    assert long["passages"] > 4
    assert sorted((row["place"].rpartition(":")[2], row["row"]) for row in long["rows"]) == [("2", 1), ("3", 2)]
    assert [(row["place"].rpartition(":")[2], row.get("row")) for row in array["rows"]] == [("1-2", None)]


async def test_a_long_text_counts_by_its_nearest_passage_and_once(simulator: Simulator):
    parts = ["Rain falls on the hills.", "A hedgehog hibernates.", "Snow lies on the roofs."]
    long = "\n\n".join(" ".join([part] * 45) for part in parts)
    async with connected(simulator.url) as client:
        found = await ranked(client, "hedgehog hibernates", texts=[STOCKS, long, "Winter."], k=10)
        nearest = await ranked(client, "hedgehog hibernates", texts=[STOCKS, long, "Winter."], k=1)
    assert sorted(row["index"] for row in found["rows"]) == [0, 1, 2]
    assert found["passages"] == 5 and found["rows"][0]["index"] == 1
    assert nearest["rows"] == found["rows"][:1]


async def test_ten_megabytes_on_one_line_are_one_place(simulator: Simulator, folder: Path):
    (folder / "line.txt").write_text("padding word " * 400_000 + "hedgehog hibernation " + "padding word " * 400_000)
    async with reader(simulator, folder) as client:
        found = await ranked(client, "hedgehog hibernation", files=[f"{folder}/line.txt"], texts=[CAT])
    assert set(places(found)) == {f"{folder}/line.txt:1", "texts[0]"}
    assert found["passages"] > 8_000 and found["embedded"] < 50


async def test_without_a_named_model_an_embedding_model_is_chosen_and_named(simulator: Simulator):
    async with connected(simulator.url) as client:
        found = data(await client.call_tool("ollama_search", {"query": "cat", "texts": [CAT]}))
    assert found["model"] == "nomic-embed-text:latest"
    assert "nomic-embed-text:latest" in found["notes"][0]


async def test_each_place_names_its_section_and_near_duplicates_are_one_with_their_number(
    simulator: Simulator, folder: Path
):
    licence = " ".join(f"Permission number {word} to copy this software." for word in "abcdefghijkl")
    for name in ("a", "b", "c"):
        (folder / f"{name}.py").write_text(
            f"# {name}\n# {licence}\n\n\ndef load_{name}(path):\n    return open(path)\n"
        )
    (folder / "guide.md").write_text(f"# Guide\n\n{'Introduction. ' * 20}\n\n## Set up\n\nInstall the hedgehog.\n")
    arguments = {"query": "permission to copy the software", "files": [f"{folder}/*.py"], "mode": "words"}
    async with reader(simulator, folder) as client:
        result = await client.call_tool("ollama_search", arguments)
        guide = await ranked(client, "hedgehog set up", files=[f"{folder}/guide.md"], mode="words", k=1)
        texts = await ranked(client, "permission", texts=[licence, licence, licence], mode="words")
    async with reader(simulator, folder) as client:
        again = await client.call_tool("ollama_search", arguments)
        assert await ranked(client, "hedgehog set up", files=[f"{folder}/guide.md"], mode="words", k=1) == guide
    assert data(again) == data(result)
    (row,) = data(result)["rows"]
    assert (row["copies"], row["place"]) == (2, f"{folder}/a.py:1-2")
    assert text(result).splitlines()[2].endswith("| words | 2")
    assert [(one["section"], one["place"].rpartition(":")[2]) for one in guide["rows"]] == [("Guide > Set up", "5-7")]
    assert places(texts) == ["texts[0]", "texts[1]", "texts[2]"]


async def test_images_are_left_out_and_it_is_said(simulator: Simulator, folder: Path):
    for name in ("a", "b"):
        (folder / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    async with reader(simulator, folder) as client:
        found = await ranked(client, "hammer", files=[str(folder)])
        named = await ranked(client, "hammer", files=[f"{folder}/a.png", f"{folder}/tools.txt"])
    assert places(found)[0] == f"{folder}/tools.txt:1" and found["passages"] == 3
    assert found["notes"][0].endswith("skipped, not text: 2 files")
    assert named["notes"] == [f"not read: '{folder}/a.png': [invalid_argument] an image; Ollama embeds text"]


# Without numpy.


async def test_without_numpy_the_same_is_found(simulator: Simulator, folder: Path, monkeypatch: pytest.MonkeyPatch):
    many = [f"text {number}" for number in range(50)]
    async with reader(simulator, folder) as client:
        by_numpy = await ranked(client, "a cat on a sofa", files=[str(folder)], texts=[*many, CAT, CAT])
    monkeypatch.setitem(sys.modules, "numpy", None)
    async with reader(simulator, folder) as client:
        plain = await ranked(client, "a cat on a sofa", files=[str(folder)], texts=[*many, CAT, CAT])
    assert plain["rows"] == by_numpy["rows"]


async def test_without_numpy_too_much_names_the_extra(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    async with connected(simulator.url) as client:
        arguments = {"query": "cat", "texts": [str(number) for number in range(20_001)], "model": MODEL}
        words = error(await client.call_tool("ollama_search", arguments), "invalid_argument")
    assert "20,001 passages" in words and how_to_install("search") in words
    assert not sent(simulator)
