"""`batch`, `decide`, `compare`, `jobs` and `usage`: the calls of a host, typed."""

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.cli.support import Ran, environment, run
from tests.cli.test_doors import said
from tests.program import program
from tests.support import connected, texts

MODEL = "llama3.2:3b"


def asked(simulator: Simulator, path: str = "/api/chat") -> list[dict[str, Any]]:
    return [json.loads(seen.body) for seen in simulator.requests if seen.path == path]


async def piped(simulator: Simulator, content: bytes, *arguments: str) -> Ran:
    process = await asyncio.create_subprocess_exec(
        *(*program(), *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(OLLAMA_HOST=simulator.url),
    )
    out, err = await asyncio.wait_for(process.communicate(content), 150)
    return Ran(process.returncode or 0, out.decode(), err.decode())


async def test_rows_of_a_file_become_rows_of_another(simulator: Simulator, tmp_path: Path):
    simulator.script(MODEL, Answer("one"), Answer("two"))
    rows, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    rows.write_text("word\nfoo\nbar\n", encoding="utf-8")
    command = ("batch", str(rows), "-p", "Say {word}", "-m", MODEL, "-o", str(output))
    ran = await run(*command, OLLAMA_HOST=simulator.url)
    assert ran.code == 0, ran.err
    assert "2 of 2 rows done" in ran.out and str(output) in ran.out
    with output.open(encoding="utf-8", newline="") as file:
        assert {row["output"] for row in csv.DictReader(file)} == {"one", "two"}
    assert {body["messages"][-1]["content"] for body in asked(simulator)} == {"Say foo", "Say bar"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "prompt"), [(b"foo\nbar\n", "Say {text}"), (b'{"w": "foo"}\n{"w": "bar"}\n', "Say {w}")]
)
async def test_rows_that_are_piped_in_are_lines_or_objects(simulator: Simulator, content: bytes, prompt: str):
    ran = await piped(simulator, content, "batch", "-p", prompt, "-m", MODEL, "--json")
    assert ran.code == 0 and json.loads(ran.out)["rows"] == 2
    assert {body["messages"][-1]["content"] for body in asked(simulator)} == {"Say foo", "Say bar"}


@pytest.mark.slow
@pytest.mark.parametrize("as_file", [False, True])
async def test_a_batch_of_questions_and_texts(simulator: Simulator, tmp_path: Path, as_file: bool):
    questions = '{"question": "Is it good?"}'
    if as_file:
        (tmp_path / "questions.json").write_text(f"[{questions}]", encoding="utf-8")
        questions = str(tmp_path / "questions.json")
    ran = await run("batch", "a b", "-m", MODEL, "c d", "--questions", questions, OLLAMA_HOST=simulator.url)
    assert ran.code == 0 and "2 of 2 rows done" in ran.out, ran.err


@pytest.mark.slow
async def test_files_by_a_pattern_where_it_was_typed(simulator: Simulator, tmp_path: Path):
    for name in ("a.md", "b.md", "c.log"):
        (tmp_path / name).write_text(f"Text of {name}.", encoding="utf-8")
    ran = await run("batch", f"{tmp_path}/*.md", "-p", "Sum up {text}", "-m", MODEL, OLLAMA_HOST=simulator.url)
    assert ran.code == 0 and "2 of 2 rows done" in ran.out, ran.err


async def test_a_question_about_texts_has_its_answers(simulator: Simulator):
    options = ("--labels", "bug: it fails, idea", "-m", MODEL)
    ran = await run("decide", "What is it?", *options, "It crashes", "--json", OLLAMA_HOST=simulator.url)
    (row,) = json.loads(ran.out)["rows"]
    assert ran.code == 0 and row["answer"] in ("bug", "idea") and "it fails" in str(asked(simulator))


@pytest.mark.slow
async def test_what_is_piped_in_is_judged_and_levels_score(simulator: Simulator):
    ran = await piped(simulator, b"Fine.", "decide", "How good?", "--levels", "bad,good", "-m", MODEL, "--json")
    (row,) = json.loads(ran.out)["rows"]
    assert ran.code == 0 and row["answer"] in ("bad", "good") and row["input"].endswith("stdin.txt")


async def test_models_answer_the_same(simulator: Simulator, tmp_path: Path):
    simulator.script(MODEL, Answer("mine"))
    simulator.script("qwen3:4b", Answer("yours"))
    output = tmp_path / "all.md"
    command = ("compare", "Say", "-m", MODEL, "it", "-m", "qwen3:4b", "-o", str(output))
    ran = await run(*command, OLLAMA_HOST=simulator.url)
    assert ran.code == 0 and "mine" in ran.out and "yours" in ran.out, ran.err
    assert "mine" in output.read_text(encoding="utf-8")
    assert {body["messages"][-1]["content"] for body in asked(simulator) if body["messages"]} == {"Say it"}


@pytest.mark.slow
async def test_a_file_is_replaced_only_where_that_is_asked_for(simulator: Simulator, tmp_path: Path):
    simulator.script(MODEL, Answer("new"))
    output = tmp_path / "out.jsonl"
    output.write_text("old", encoding="utf-8")
    command = ("batch", "a b", "c d", "-p", "Say {text}", "-m", MODEL, "-o", str(output))
    refused = await run(*command, OLLAMA_HOST=simulator.url)
    assert refused.code == 1 and output.read_text(encoding="utf-8") == "old"
    replaced = await run(*command, "--overwrite", OLLAMA_HOST=simulator.url)
    assert replaced.code == 0 and "new" in output.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("batch", "-p", "x"), "There is no input"),
        (("batch", "a", "--questions", "{oh"), "--questions is not valid JSON"),
        (("batch", "a", "-p", "x", "-o", "none/such/o.jsonl"), "Run `mkdir -p "),
        (("decide", "Is it?"), "nothing to judge"),
        (("jobs", "result"), "takes the id"),
        (("jobs", "list", "x"), "takes no id"),
        (("models", "list", "--frobnicate"), "unrecognized arguments: --frobnicate"),
        (("config", "show", "x"), "config show takes no name"),
        (("store", "show", "x"), "unrecognized arguments: x"),
    ],
)
def test_wrong_use_is_told_before_anything_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], why: str
):
    monkeypatch.setattr("sys.stdin", None)
    code, out, err = said(capsys, *arguments)
    assert (code, out) == (2, "") and why in err


@pytest.mark.slow
async def test_the_job_of_a_server_is_listed_shown_and_fetched(simulator: Simulator, tmp_path: Path):
    store = {"path": str(tmp_path / "store.sqlite3")}
    shell = {"OLLAMA_HOST": simulator.url, "OLLAMA_MCP_STORE__PATH": store["path"]}
    simulator.script(MODEL, Answer(["Once ", "upon."], hold="rest", hold_after=1))
    async with connected(simulator.url, store=store) as client:
        begun = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Tell", "background": True})
        job = texts(begun)[0].partition("as job ")[2].partition(".")[0]
        listed = await run("jobs", "--json", **shell)
        assert [one["id"] for one in json.loads(listed.out)["jobs"]] == [job]
        simulator.release("rest")
        fetched = await run("jobs", "result", job, **shell)
        assert (fetched.code, fetched.out) == (0, "Once upon.\n")
        shown = await run("jobs", "show", job, **shell)
    assert shown.code == 0 and f"jobs result {job}` returns the result" in shown.out and "ollama_job" not in shown.out


@pytest.mark.slow
async def test_a_job_is_cancelled_and_an_unknown_one_is_told(simulator: Simulator, tmp_path: Path):
    store = {"path": str(tmp_path / "store.sqlite3")}
    shell = {"OLLAMA_HOST": simulator.url, "OLLAMA_MCP_STORE__PATH": store["path"]}
    simulator.script(MODEL, Answer(["Once ", "upon."], hold="rest", hold_after=1))
    async with connected(simulator.url, store=store) as client:
        begun = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Tell", "background": True})
        job = texts(begun)[0].partition("as job ")[2].partition(".")[0]
        cancelled = await run("jobs", "cancel", job, **shell)
        assert cancelled.code == 0, cancelled.err
    unknown = await run("jobs", "show", "nope", **shell)
    assert unknown.code == 1 and " jobs list` lists the jobs" in unknown.err


@pytest.mark.slow
async def test_usage_is_counted_by_model(simulator: Simulator, tmp_path: Path):
    shell = {"OLLAMA_HOST": simulator.url, "OLLAMA_MCP_STORE__PATH": str(tmp_path / "store.sqlite3")}
    assert (await run("usage", **shell)).out == "Nothing was done yet.\n"
    await run("ask", "-m", MODEL, "Hi", **shell)
    shown = await run("usage", **shell)
    assert shown.out.startswith("where | model | calls | ") and f"local | {MODEL} | 1 | " in shown.out
    as_json = json.loads((await run("usage", "--json", **shell)).out)
    assert as_json["in_all"]["local_models"][0]["model"] == MODEL
    off = await run("usage", **shell, OLLAMA_MCP_STORE__USAGE="false")
    assert off.out.startswith("Nothing is counted")
