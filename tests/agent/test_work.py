"""Work that passes the agent by: over files, in many rows, by labels, by meaning; with the calls of a good agent."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.agent.agent import Agent, found

CHAT = "llama3.2:3b"
LEASE = "The rent is 900 EUR.\nEither side may give notice of three months.\nPets are welcome.\n"
TOPIC = {"question": "What is it about?", "labels": ["billing: money", "bug: it fails", "other"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the user has: a lease, notes, a table of reviews."""
    (tmp_path / "lease.txt").write_text(LEASE)
    (tmp_path / "animals.md").write_text("A hedgehog hibernates in winter.\n")
    (tmp_path / "money.md").write_text("Stocks fell sharply on Monday.\n")
    (tmp_path / "reviews.csv").write_text("id,review\n" + "".join(f"{n},Sehr gut {n}\n" for n in range(8)))
    return tmp_path


def sent(simulator: Simulator) -> list[str]:
    """What models were asked, in order."""
    return [seen.json["messages"][-1]["content"] for seen in simulator.requests if seen.path == "/api/chat"]


async def test_ask_over_a_file_without_reading_it(agent: Agent, simulator: Simulator, folder: Path):
    simulator.script("*", Answer(text="Three months."))
    seen = await agent.call("ollama_chat", prompt="Which period of notice?", files=[f"{folder}/lease.txt"])
    assert "Three months." in seen and "900 EUR" not in seen
    assert "900 EUR" in sent(simulator)[0]
    assert len(agent.calls) == 1


async def test_ask_over_lines_of_a_file(agent: Agent, simulator: Simulator, folder: Path):
    simulator.script("*", Answer(text="Yes."))
    assert "Yes." in await agent.call("ollama_chat", prompt="Pets?", files=[f"{folder}/lease.txt:3-3"])
    assert "Pets are welcome" in sent(simulator)[0] and "notice" not in sent(simulator)[0]
    assert len(agent.calls) == 1


async def test_read_in_pieces_what_the_error_says_is_too_long(agent: Agent, simulator: Simulator, folder: Path):
    lines = "".join(f"{n}: {' '.join(['word'] * 40)}\n" for n in range(900))
    (folder / "book.txt").write_text(lines)
    question = {"model": CHAT, "prompt": "Who is the murderer?", "files": [f"{folder}/book.txt"]}
    way_out = found(r"Set too_long='(\w+)'", await agent.fails("ollama_chat", **question))
    simulator.script(CHAT, *[Answer(text="nothing here")] * 2, Answer(text="The gardener."))
    seen = await agent.call("ollama_chat", **question, too_long=way_out)
    assert "Read in 2 pieces" in seen and "The gardener." in seen
    assert len(agent.calls) == 2


async def test_tell_a_quote_that_stands_in_the_file_from_an_invented_one(
    agent: Agent, simulator: Simulator, folder: Path
):
    lease = str(folder / "lease.txt")
    quotes = [
        {"quote": "notice of three months", "path": lease, "line": 2},
        {"quote": "the landlord pays for the lawyer", "path": lease, "line": 9},
    ]
    simulator.script("*", Answer(text=json.dumps({"answer": "Three months.", "quotes": quotes})))
    seen = await agent.call("ollama_chat", prompt="Which period of notice?", files=[lease], cite=True)
    assert "Three months." in seen and "lease.txt:2" in seen
    assert re.search(r'(?i)"?not found"?', seen)
    assert len(agent.calls) == 1


async def test_a_folder_that_may_not_be_read_is_left_to_the_user(agent: Agent):
    seen = await agent.fails("ollama_chat", prompt="Secrets?", files=["/etc/hostname"])
    assert seen.startswith("[not_allowed]")
    assert len(agent.calls) == 1


async def test_label_texts(agent: Agent, simulator: Simulator):
    simulator.script("*", *[Answer(text=["A"], chances=[{"A": 0.9, "B": 0.1}])] * 2)
    seen = await agent.call("ollama_decide", questions=[TOPIC], texts=["Refund me", "I paid twice"])
    assert len(re.findall(r'"answer": "billing"|\| billing \| 0\.9', seen)) == 2
    assert len(agent.calls) == 1


async def test_label_files_by_the_name_that_the_error_gives(agent: Agent, simulator: Simulator, folder: Path):
    simulator.script("*", *[Answer(text=["C"], chances=[{"C": 1.0}])] * 2)
    files = [f"{folder}/*.md"]
    seen = await agent.fails("ollama_decide", question=[TOPIC], files=files)
    argument = found(r"Did you mean '(\w+)'", seen)
    seen = await agent.call("ollama_decide", **{argument: [TOPIC], "files": files})
    assert seen.count("other") >= 2 and "animals.md" in seen and "money.md" in seen
    assert len(agent.calls) == 2


async def test_work_through_a_table_after_a_trial(agent: Agent, simulator: Simulator, folder: Path):
    simulator.script("*", *[Answer(text="Very good.")] * 8)
    order: dict[str, Any] = {
        "input": [f"{folder}/reviews.csv"],
        "prompt": "Translate into English: {review}",
        "output": f"{folder}/english.csv",
    }
    seen = await agent.call("ollama_batch", **order, limit=2)
    assert "Very good." in seen
    seen = await agent.call("ollama_batch", **order, overwrite=True)
    assert re.search(r'"done": 8|8 of 8 rows done', seen)
    lines = (folder / "english.csv").read_text().splitlines()
    assert len(lines) == 9 and lines[8].startswith("7,Sehr gut 7,") and "Very good." in lines[8]
    assert len(sent(simulator)) == 8
    assert len(agent.calls) == 2


async def test_correct_the_column_that_the_error_names(agent: Agent, simulator: Simulator, folder: Path):
    simulator.script("*", *[Answer(text="Good.")] * 8)
    order = {"input": [f"{folder}/reviews.csv"], "output": f"{folder}/out.jsonl"}
    seen = await agent.fails("ollama_batch", **order, prompt="Translate: {text_of_review}")
    column = found(r"\b(review)\b", seen)
    assert not sent(simulator)
    await agent.call("ollama_batch", **order, prompt=f"Translate: {{{column}}}")
    assert len((folder / "out.jsonl").read_text().splitlines()) == 8
    assert len(agent.calls) == 2


async def test_find_a_place_by_meaning_and_ask_about_it(agent: Agent, simulator: Simulator, folder: Path):
    simulator.script("*", Answer(text="In winter."))
    question, files = "A hedgehog hibernates in winter.", [f"{folder}/*.md"]
    seen = await agent.call("ollama_search", query=question, files=files, excerpts=False)
    assert "Stocks" not in seen
    place = found(r"(/[^\s\"|]+\.md:\d+)", seen)
    assert place.endswith("animals.md:1")
    assert "In winter." in await agent.call("ollama_chat", prompt="When?", files=[place])
    assert len(agent.calls) == 2


async def test_find_which_of_two_models_does_it(agent: Agent, simulator: Simulator):
    simulator.script(CHAT, Answer(text="Paris."))
    simulator.script("gemma3:4b", Answer(text="Lyon."))
    names = re.findall(r"[a-z0-9.]+:[0-9]+b", await agent.call("ollama_list_models", capability="completion"))
    chosen = [name for name in dict.fromkeys(names) if not name.startswith("qwen")]
    seen = await agent.call("ollama_compare", models=chosen, prompt="Capital of France?")
    assert "Paris." in seen and "Lyon." in seen and "tokens" in seen
    assert len(agent.calls) == 2


async def test_tell_the_user_what_local_models_did(agent: Agent, simulator: Simulator, folder: Path):
    simulator.script("*", Answer(text="Three months.", tokens=7))
    await agent.call("ollama_chat", prompt="Which period of notice?", files=[f"{folder}/lease.txt"])
    seen = await agent.call("ollama_status")
    assert re.search(r'"tokens": 7|7 tokens written', seen)
    assert re.search(r'"file_tokens": [1-9]|read from files', seen)
    assert len(agent.calls) == 2


async def test_hand_over_long_work_and_get_it_later(agent: Agent, simulator: Simulator, folder: Path):
    simulator.script("*", Answer(text="A lease."))
    seen = await agent.call("ollama_chat", prompt="What is it?", files=[f"{folder}/lease.txt"], background=True)
    job = found(r"job (?:id )?'?([A-Za-z0-9_-]{4,})", seen)
    assert "A lease." in await agent.call("ollama_job", action="result", id=job)
    assert len(agent.calls) == 2


async def test_follow_the_prompt_of_a_summary_to_its_end(agent: Agent, simulator: Simulator, folder: Path):
    simulator.script("*", Answer(text="- Rent, notice, pets."))
    result = await agent.client.get_prompt("summarize_long_text", {"file": f"{folder}/lease.txt"})
    call = found(r"First call: `(ollama_chat\(.+\))`", str(result.messages[0].content).replace('\\"', '"'))
    model, path = found(r'model="([^"]+)"', call), found(r'files=\["([^"]+)"\]', call)
    seen = await agent.call("ollama_chat", model=model, prompt="the main points", files=[path], too_long="split")
    assert "Rent, notice, pets." in seen
    assert len(agent.calls) == 1
