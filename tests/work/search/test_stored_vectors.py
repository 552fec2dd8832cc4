"""What ollama_search keeps: a second time only what changed is embedded, and what was too long is known."""

from __future__ import annotations

import asyncio
import random
import string
from dataclasses import replace
from pathlib import Path

from ollama_mcp.simulator import Fault, Latency, Simulator
from tests.support import connected, data, error, text
from tests.work.search.client import CAT, MODEL, STOCKS, places, ranked, reader, sent


def letters(count: int, seed: int) -> str:
    """Single letters: each is a token, which no estimate by length expects."""
    return " ".join(random.Random(seed).choices(string.ascii_lowercase, k=count))


async def test_the_second_call_embeds_nothing_even_in_another_process_of_the_server(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        first = await ranked(client, "cat", files=[str(folder)])
        again = await ranked(client, "cat", files=[str(folder)])
    async with reader(simulator, folder) as client:
        extended = await ranked(client, "cat", files=[str(folder)], texts=["something new"])
    assert again["rows"] == first["rows"] and (first["embedded"], again["embedded"]) == (3, 0)
    assert extended["embedded"] == 1
    assert [len(inputs) for inputs in sent(simulator)] == [1, 3, 1]
    async with reader(simulator, folder) as client:
        result = await client.call_tool("ollama_search", {"query": "cat", "files": [str(folder)], "model": MODEL})
    assert "all embedded before" in text(result)
    assert len(sent(simulator)) == 3


async def test_of_a_changed_file_only_its_passages_are_embedded_again(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        await ranked(client, "hammer", files=[str(folder)])
        (folder / "tools.txt").write_text("A saw cuts wood.\n")
        found = await ranked(client, "hammer", files=[str(folder)])
    assert found["embedded"] == 1
    assert sent(simulator)[-1] == ["search_document: A saw cuts wood."]


async def test_another_model_behind_the_same_name_embeds_anew(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        await ranked(client, "cat", files=[str(folder)])
        model = simulator.store.find(MODEL)
        assert model is not None
        simulator.store.remove(model)
        missing = await client.call_tool("ollama_search", {"query": "cat", "files": [str(folder)], "model": MODEL})
        assert MODEL in error(missing, "model_not_found")
        simulator.store.add(replace(model, system="pulled anew"))
        found = await ranked(client, "cat", files=[str(folder)])
    assert found["embedded"] == 3
    assert [len(inputs) for inputs in sent(simulator)] == [1, 3, 1, 3]


async def test_two_calls_at_once_find_the_same(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        calls = (ranked(client, "cat", files=[str(folder)], texts=[STOCKS]) for _ in range(2))
        one, other = await asyncio.gather(*calls)
    assert one["rows"] == other["rows"] and len(one["rows"]) == 4


async def test_what_was_embedded_before_the_host_failed_is_kept(simulator: Simulator, folder: Path):
    simulator.faults.add(Fault("status", path="/api/embed", nth=3, status=500, text="out of memory"))
    async with reader(simulator, folder, limits={"embed_chunk": 1}, work={"parallel": 1}) as client:
        call = {"query": "cat", "files": [str(folder)], "model": MODEL}
        error(await client.call_tool("ollama_search", call), "server_error")
        found = await ranked(client, "cat", files=[str(folder)])
    assert found["embedded"] == 2


async def test_what_was_done_is_counted_with_the_tokens_that_the_agent_never_saw(simulator: Simulator, folder: Path):
    async with reader(simulator, folder) as client:
        await ranked(client, "cat", texts=[CAT])
        of_texts = text(await client.call_tool("ollama_status", {}))
        await ranked(client, "cat", files=[str(folder)])
        of_files = text(await client.call_tool("ollama_status", {}))
    assert MODEL in of_texts and "from files" not in of_texts
    assert "from files" in of_files


async def test_many_passages_go_in_chunks_and_progress_tells_how_long_it_takes():
    said: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        said.append(message or "")

    many = [f"text number {number}" for number in range(150)]
    slow = Latency(embed=0.004)
    async with Simulator(version="latest", latency=slow) as simulator, connected(simulator.url) as client:
        arguments = {"query": "number 7", "texts": many, "model": MODEL}
        found = data(await client.call_tool("ollama_search", arguments, progress_callback=note))
    assert found["embedded"] == 150 and len(found["rows"]) == 10
    assert sorted(len(inputs) for inputs in sent(simulator)) == [1, 22, 64, 64]
    assert any("of 150 passages, " in message and "left" in message for message in said)


# What does not fit.


async def test_passages_that_the_server_finds_too_long_are_cut_further_and_the_store_remembers_it():
    small = "all-minilm"
    many = [letters(560, seed) for seed in range(5)]
    async with Simulator(version="latest", models=[small]) as simulator, connected(simulator.url) as client:
        found = await ranked(client, many[3][:300], texts=[*many, CAT], model=small, mode="meaning")
        assert found["rows"][0]["index"] == 3
        assert (found["passages"], found["embedded"]) == (11, 11)
        asked = len(sent(simulator))
        # Once out of memory, once out of the store.
        again = await ranked(client, many[3][:300], texts=[*many, CAT], model=small, mode="meaning")
        more = await ranked(client, many[3][:300], texts=[*many, CAT, STOCKS], model=small, mode="meaning")
        assert again["rows"] == found["rows"] and again["passages"] == 11
        assert more["rows"][:6] == found["rows"][:6] and more["embedded"] == 1
        assert len(sent(simulator)) == asked + 1


async def test_a_model_without_room_for_even_a_few_words_is_an_error(simulator: Simulator):
    async with connected(simulator.url, defaults={"options": {"num_ctx": 8}}) as client:
        arguments = {"query": "a", "texts": [letters(200, 1)], "model": MODEL}
        error(await client.call_tool("ollama_search", arguments), "too_long")


async def test_a_query_that_does_not_fit_says_so(simulator: Simulator):
    async with connected(simulator.url) as client:
        arguments = {"query": letters(5_000, 1), "texts": [CAT], "model": MODEL}
        assert "query is too long" in error(await client.call_tool("ollama_search", arguments), "too_long")


async def test_a_server_without_embed_is_served_by_its_older_endpoint():
    async with Simulator(version="0.1.44", models=("embed",)) as old, connected(old.url) as client:
        found = await ranked(client, "a cat", texts=[STOCKS, CAT])
    assert [row["index"] for row in found["rows"]] == [1, 0]
    assert [seen.path for seen in old.requests].count("/api/embeddings") == 3


async def test_a_passage_without_a_usable_vector_is_left_out_by_its_place(simulator: Simulator, folder: Path):
    simulator.faults.add(Fault("status", path="/api/embed", contains="hammer", text="json: unsupported value: NaN"))
    async with reader(simulator, folder) as client:
        arguments = {
            "query": "a cat",
            "files": [str(folder)],
            "texts": [STOCKS, "hammer"],
            "model": MODEL,
            "mode": "meaning",
        }
        first = data(await client.call_tool("ollama_search", arguments))
        again = data(await client.call_tool("ollama_search", arguments))
    assert sorted(places(first)) == [f"{folder}/animals.md:1-8", f"{folder}/money.md:1-2", "texts[0]"]
    (note,) = first["notes"]
    assert note.endswith(f"for it: texts[1], {folder}/tools.txt:1.")
    assert again["notes"] == first["notes"] and places(again) == places(first)


async def test_a_query_without_a_usable_vector_is_the_error(simulator: Simulator):
    simulator.faults.add(Fault("status", path="/api/embed", contains="hammer", text="json: unsupported value: NaN"))
    async with connected(simulator.url) as client:
        arguments = {"query": "a hammer", "texts": [STOCKS], "model": MODEL}
        assert "the query" in error(await client.call_tool("ollama_search", arguments), "bad_answer")


async def test_a_model_without_a_vector_for_any_passage_is_the_error(simulator: Simulator):
    simulator.faults.add(Fault("status", path="/api/embed", contains="fell", text="json: unsupported value: NaN"))
    async with connected(simulator.url) as client:
        arguments = {"query": "a hammer", "texts": [STOCKS], "model": MODEL}
        assert "no usable vector" in error(await client.call_tool("ollama_search", arguments), "bad_answer")
