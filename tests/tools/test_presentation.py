"""What models wrap their answers in - code fences, look-alike labels, a lone closing tag - is not their content."""

from __future__ import annotations

from pathlib import Path

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.support import connected, data, error, text, texts
from tests.work.batch.batching import batching
from tests.work.decide.helpers import MODEL, decide

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TEAM = {"type": "object", "properties": {"team": {"enum": ["on-hold", "caf\u00e9"]}}, "required": ["team"]}
THINKING = "The user wants a sum.\n2 + 2 is 4."


@pytest.mark.parametrize(
    ("answer", "json_text"),
    [
        ('```json\n{"n": 4}\n```', '{"n": 4}'),
        ('```\n{"n": 4}\n```\n', '{"n": 4}'),
        ('Here it is:\n\n````JSON\n{\n "n": 4\n}\n````\nAnything else?', '{\n "n": 4\n}'),
        ('```json {"n": 4}```', '{"n": 4}'),
        ('  ```json\r\n  {"n": 4}\r\n  ```', '{"n": 4}'),
    ],
)
async def test_json_in_the_only_code_fence_is_the_value(simulator: Simulator, answer: str, json_text: str):
    simulator.script(MODEL, Answer(text=answer), Answer(text=answer))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "2 + 2", "format": SCHEMA})
        plain = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "2 + 2"})
    assert data(result)["value"] == {"n": 4}
    assert texts(result)[0] == json_text
    assert "code fence" in texts(result)[1]
    assert [block.text for block in plain.content if block.type == "text"] == [answer]


@pytest.mark.parametrize(
    "answer",
    [
        '```json\n{"n": 4}\n```\nor\n```json\n{"n": 5}\n```',
        '```json\n{"n": "four"}\n```',
        '```json\n{"n": 4\n```',
        "```python\nprint(4)\n```",
        '```json\n{"n": 4}',
        '```json\n{"n": NaN}\n```',
    ],
)
async def test_fences_that_leave_the_value_open_are_refused(simulator: Simulator, answer: str):
    simulator.script(MODEL, Answer(text=answer))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "2 + 2", "format": SCHEMA})
    error(result, "bad_answer")
    assert texts(result)[1] == answer


async def test_the_rows_of_a_batch_may_be_fenced(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path) as bench:
        simulator.script(MODEL, *[Answer(text='```json\n{"n": 4}\n```')] * 2)
        report = await bench.report(["a", "b"], prompt="Count {text}", format=SCHEMA, output="out.jsonl")
        rows = bench.rows()
    assert report["done"] == 2
    assert [row["output"] for row in rows] == [{"n": 4}, {"n": 4}]
    assert "code fence" in rows[0]["notes"][0]


@pytest.mark.parametrize(
    ("answer", "team"),
    [
        ('{"team": "on\u2011hold"}', "on-hold"),
        ('{"team": "cafe\u0301"}', "caf\u00e9"),
        ('{"te\u200bam": "on-hold"}', "on-hold"),
    ],
)
async def test_labels_that_look_alike_are_those_of_the_schema(simulator: Simulator, answer: str, team: str):
    simulator.script(MODEL, Answer(text=answer))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Which?", "format": TEAM})
    assert data(result)["value"] == {"team": team}
    assert team in text(result)


@pytest.mark.parametrize("answer", ['{"team": "On-Hold"}', '{"team": "onhold"}', '{"team": "cafe"}'])
async def test_other_labels_are_refused(simulator: Simulator, answer: str):
    simulator.script(MODEL, Answer(text=answer))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Which?", "format": TEAM})
    assert "is not one of" in error(result, "bad_answer")


async def test_a_decision_takes_labels_and_letters_that_look_alike(simulator: Simulator):
    question = {"name": "state", "question": "Which?", "labels": ["on-hold", "caf\u00e9"]}
    tokens = ["</think>", "\n\n", "\uff22"]
    by_letter = Answer(text=tokens, chances=[{tokens[0]: 0.9}, {tokens[1]: 0.9}, {"\uff22": 0.6, "A": 0.3}])
    simulator.script(MODEL, by_letter, Answer(text="Well"), Answer(text='{"state": "on\u2011hold"}'))
    async with connected(simulator.url) as client:
        first = data(await decide(client, [question], texts=["one"]))["rows"][0]
        second = data(await decide(client, [question], texts=["two"]))["rows"][0]
    assert (first["answer"], first["probability"]) == ("caf\u00e9", pytest.approx(2 / 3, abs=1e-3))
    assert (second["answer"], second.get("probability")) == ("on-hold", None)


@pytest.mark.parametrize("tag", ["\n</think>\n\n", "</think>\n", "\n</think>  \n \n"])
async def test_what_stands_before_a_lone_closing_tag_is_thinking(simulator: Simulator, tag: str):
    simulator.script(MODEL, *[Answer(text=f"{THINKING}{tag}Four.")] * 2, Answer(text=f'{THINKING}{tag}{{"n": 4}}'))
    async with connected(simulator.url) as client:
        asked = {"model": MODEL, "prompt": "2 + 2?"}
        chat = await client.call_tool("ollama_chat", asked)
        generate = await client.call_tool("ollama_generate", {**asked, "include": ["thinking"]})
        value = await client.call_tool("ollama_chat", {**asked, "format": SCHEMA})
    assert text(chat) == "Four."
    assert (data(generate)["text"], data(generate)["thinking"]) == ("Four.", THINKING)
    assert data(value)["value"] == {"n": 4}


async def test_a_tag_that_nothing_precedes_or_follows_is_no_answer(simulator: Simulator):
    simulator.script(MODEL, Answer(text="</think>\n\nFour."), Answer(text=f"{THINKING}\n</think>"))
    async with connected(simulator.url) as client:
        arguments = {"model": MODEL, "prompt": "2 + 2?"}
        assert text(await client.call_tool("ollama_chat", arguments)) == "Four."
        nothing = await client.call_tool("ollama_chat", arguments)
    assert "thinking" in error(nothing, "no_answer")
    assert texts(nothing)[1] == THINKING


@pytest.mark.parametrize(
    "answer",
    [
        "It ends with `</think>`\nand then comes the answer.",
        "The closing tag is\n</think>\nwith a slash.",
        "It ends with:\n</think>\nThat is all.",
        "```xml\nsome thoughts\n</think>\nanswer\n```",
        "Write </think> before the answer.",
        "One\n</think>\nTwo\n</think>\nThree",
        "First <think>\nx\n</think>\nthen.",
        "'</think>'\nis what you look for.",
    ],
)
async def test_an_answer_about_tags_stays_whole(simulator: Simulator, answer: str):
    simulator.script(MODEL, Answer(text=answer))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "What is the tag?"})
    assert text(result) == answer
