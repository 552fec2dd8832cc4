"""Files of a comparison, through a real client: prompts in, all answers out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.support import connected, data, error, text

LLAMA, GEMMA = "llama3.2:3b", "gemma3:4b"
MODELS = [LLAMA, GEMMA]
LONG = " ".join(map(str, range(1_500)))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that the server works in: its files may be read and written."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def _compare(simulator: Simulator, **arguments: Any) -> Any:
    async with connected(simulator.url) as client:
        return await client.call_tool("ollama_compare", {"models": MODELS, **arguments})


def _asked(simulator: Simulator) -> list[str]:
    """The prompts that the first model got."""
    bodies = [seen.json for seen in simulator.requests if seen.path == "/api/chat"]
    return [body["messages"][-1]["content"] for body in bodies if body["model"] == LLAMA]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.txt", b"one?\n\n  two?  \n"),
        ("p.txt", b"\xef\xbb\xbfone?\r\ntwo?\r\n"),
        ("p.TXT", "one?\ntwo?".encode("utf-16")),
        ("p.jsonl", b'"one?"\n\n{"prompt": "two?", "id": 7}\n'),
        ("p.json", b'[{"prompt": "one?"}, "two?"]'),
    ],
)
async def test_prompts_come_from_lines_rows_and_lists_in_any_encoding(
    simulator: Simulator, project: Path, name: str, content: bytes
):
    (project / name).write_bytes(content)
    data(await _compare(simulator, prompts_file=str(project / name)))
    assert _asked(simulator) == ["one?", "two?"]


async def test_a_range_of_lines_is_taken(simulator: Simulator, project: Path):
    (project / "p.txt").write_text("one?\ntwo?\nthree?\n")
    data(await _compare(simulator, prompts_file=f"{project / 'p.txt'}:2-3"))
    assert _asked(simulator) == ["two?", "three?"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.csv", b"a,b\n", "ends in .txt, .jsonl or .json"),
        ("p.txt", b"\n \n", "holds no prompt"),
        ("p.txt", b"q\n" * 51, "holds 51 prompts; ollama_compare takes 50"),
        ("p.jsonl", b'"one"\n{"question": "secret"}\n', "Line 2 of "),
        ("p.jsonl", b'"one"\nsecret\n', "Line 2 of "),
        ("p.json", b'{"prompt": "secret"}', "does not hold a list"),
        ("p.json", b'["one", " "]', "Item 2 of "),
        ("p.json", b"[" * 100_000, "is not valid JSON"),
    ],
)
async def test_what_holds_no_prompts_is_refused_without_quoting_it(
    simulator: Simulator, project: Path, name: str, content: bytes, said: str
):
    (project / name).write_bytes(content)
    words = error(await _compare(simulator, prompts_file=str(project / name)), "invalid_argument")
    assert said in words and "secret" not in words
    assert not simulator.requests


async def test_several_files_are_no_set_of_prompts(simulator: Simulator, project: Path):
    (project / "a.txt").write_text("one?")
    (project / "b.txt").write_text("two?")
    words = error(await _compare(simulator, prompts_file=str(project / "*.txt")), "invalid_argument")
    assert "must be one file" in words


async def test_prompts_outside_the_allowed_folders_are_not_read(simulator: Simulator, tmp_path_factory: Any):
    file = tmp_path_factory.mktemp("elsewhere") / "p.txt"
    file.write_text("one?")
    error(await _compare(simulator, prompts_file=str(file)), "not_allowed")
    assert not simulator.requests


async def _written(simulator: Simulator, project: Path, name: str) -> str:
    (project / "p.txt").write_text("one?\ntwo?\n")
    simulator.script(LLAMA, Answer(LONG), Answer("~~~\n| b |"))
    simulator.script(GEMMA, Answer("c"), Answer("", thinking="hm"))
    arguments = {"prompts_file": str(project / "p.txt"), "system": "Be kind.", "output": str(project / name)}
    result = await _compare(simulator, **arguments)
    assert data(result)["output"] == str(project / name)
    assert f"All answers: {project / name}" in text(result)
    assert "one?" not in text(result)
    assert "Set output" not in text(result)
    return (project / name).read_text()


async def test_json_holds_everything_in_full(simulator: Simulator, project: Path):
    found = json.loads(await _written(simulator, project, "out.json"))
    assert (found["system"], found["prompts"]) == ("Be kind.", ["one?", "two?"])
    first, second = found["models"]
    assert first["model"] == LLAMA and first["tokens_per_second"] > 0 and first["memory_bytes"] > 0
    assert first["answers"][0]["text"] == LONG
    assert first["answers"][0]["tokens"] > 0 and "first_token_seconds" in first["answers"][0]
    assert second["answers"][1]["error"].startswith("[no_answer] ") and second["answers"][1]["text"] == "hm"


async def test_jsonl_holds_a_line_for_each_answer(simulator: Simulator, project: Path):
    lines = [json.loads(line) for line in (await _written(simulator, project, "out.jsonl")).splitlines()]
    assert [(line["model"], line["number"], line["prompt"]) for line in lines] == [
        (LLAMA, 1, "one?"),
        (LLAMA, 2, "two?"),
        (GEMMA, 1, "one?"),
        (GEMMA, 2, "two?"),
    ]
    assert lines[2]["text"] == "c" and "error" in lines[3]


async def test_markdown_shows_the_figures_then_the_answers_to_each_prompt(simulator: Simulator, project: Path):
    found = await _written(simulator, project, "out.md")
    assert found.startswith("# Comparison\n\n| model | load s |")
    assert found.index("## Prompt 1") < found.index(LONG) < found.index("## Prompt 2")
    assert "~~~\none?\n~~~" in found and "~~~\nBe kind.\n~~~" in found
    assert "**[no_answer] " in found and f"### {GEMMA}\n\nc\n" in found


async def test_what_is_true_of_all_models_stands_in_the_file_too(simulator: Simulator, project: Path):
    for model in MODELS:
        simulator.script(model, Answer("word " * 3, done_reason="length"))
    data(await _compare(simulator, prompt="Hi", output=str(project / "out.md")))
    assert (project / "out.md").read_text().count("Cut: ") == 1


async def test_a_prompt_cannot_close_its_own_block_in_markdown(simulator: Simulator, project: Path):
    data(await _compare(simulator, prompt="~~~\n# Heading", output=str(project / "out.md")))
    assert "~~~~\n~~~\n# Heading\n~~~~\n" in (project / "out.md").read_text()


async def test_half_a_surrogate_pair_in_a_prompt_does_not_stop_the_file(simulator: Simulator, project: Path):
    (project / "p.jsonl").write_text('"half \\ud83d pair"\n"whole"\n')
    result = await _compare(simulator, prompts_file=str(project / "p.jsonl"), output=str(project / "out.json"))
    row = data(result)["models"][0]
    assert row["answered"] == 1 and row["error"].startswith("[invalid_argument] ")
    assert json.loads((project / "out.json").read_text())["prompts"] == ["half ? pair", "whole"]


@pytest.mark.parametrize("name", ["out.csv", "out", ".out.json"])
async def test_where_it_may_not_be_written_no_model_is_asked(simulator: Simulator, project: Path, name: str):
    result = await _compare(simulator, prompt="Hi", output=str(project / name))
    assert result.is_error
    assert not simulator.requests


async def test_a_file_is_replaced_only_where_that_was_asked_for(simulator: Simulator, project: Path):
    file = project / "out.json"
    file.write_text("mine")
    words = error(await _compare(simulator, prompt="Hi", output=str(file)), "invalid_argument")
    assert "overwrite" in words and file.read_text() == "mine" and not simulator.requests
    data(await _compare(simulator, prompt="Hi", output=str(file), overwrite=True))
    assert json.loads(file.read_text())["prompts"] == ["Hi"]


async def test_answers_are_given_even_where_the_file_is_taken_meanwhile(simulator: Simulator, project: Path):
    file = project / "out.json"
    simulator.script(LLAMA, Answer("precious", hold="go"))
    async with connected(simulator.url) as client:
        arguments = {"models": MODELS, "prompt": "Hi", "output": str(file), "background": True}
        job = data(await client.call_tool("ollama_compare", arguments))["job"]
        file.write_text("another's")
        simulator.release("go")
        result = await client.call_tool("ollama_job", {"action": "result", "id": job})
    assert "precious" in text(result) and "[invalid_argument]" in text(result)
    assert "output" not in data(result)
    assert file.read_text() == "another's" and os.listdir(project).count("out.json") == 1


async def test_nothing_is_written_where_no_model_answers(simulator: Simulator, project: Path):
    async with connected(simulator.url) as client:
        arguments = {"models": ["absent", "missing"], "prompt": "Hi", "output": str(project / "out.json")}
        error(await client.call_tool("ollama_compare", arguments), "model_not_found")
    assert os.listdir(project) == ["pyproject.toml"]


async def test_prompts_of_a_file_count_as_tokens_that_the_agent_never_saw(simulator: Simulator, project: Path):
    (project / "p.txt").write_text("seven words make some tokens here, perhaps\n" * 3)
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_compare", {"models": MODELS, "prompts_file": str(project / "p.txt")})
        usage = data(await client.call_tool("ollama_status", {}))["usage"]
    assert usage["this_run"]["local"]["calls"] == 6
    assert usage["this_run"]["local"]["file_tokens"] > 30
