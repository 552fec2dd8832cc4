"""`ask` is a call of ollama_chat from the shell: files and pipes go in, the answer is printed as it is written."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.cli.support import Ran, environment, run
from tests.cli.test_confirming import on_terminal
from tests.program import program

MODEL = "llama3.2:3b"
SCHEMA = '{"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}'


async def started(simulator: Simulator, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(*program(), "ask", "-m", MODEL, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(OLLAMA_HOST=simulator.url),
    )


async def piped(simulator: Simulator, content: bytes, *arguments: str) -> Ran:
    process = await started(simulator, *arguments)
    out, err = await asyncio.wait_for(process.communicate(content), 100)
    return Ran(process.returncode or 0, out.decode(), err.decode())


def asked(simulator: Simulator) -> dict[str, Any]:
    """The body of the one chat."""
    (seen,) = [seen for seen in simulator.requests if seen.path == "/api/chat"]
    return json.loads(seen.body)


async def test_the_answer_is_printed_while_it_is_written(simulator: Simulator):
    simulator.script(MODEL, Answer(["One ", "two ", "three."], hold="rest", hold_after=2))
    process = await started(simulator, "Count", "to three")
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    # Nothing but the release below lets the model go on.
    first = await asyncio.wait_for(process.stdout.readexactly(4), 60)
    assert first == b"One " and process.returncode is None
    simulator.release("rest")
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (first + out, err, process.returncode) == (b"One two three.\n", b"", 0)
    assert asked(simulator)["messages"][-1]["content"] == "Count to three"


async def test_what_is_piped_in_is_a_file_beside_the_prompt(simulator: Simulator):
    simulator.script(MODEL, Answer("Fine."))
    ran = await piped(simulator, "+ a = 1\n+ ü = 2\n".encode(), "Review this")
    assert (ran.code, ran.out) == (0, "Fine.\n") and "stdin: lines 1-2" in ran.err
    prompt = asked(simulator)["messages"][-1]["content"]
    assert "+ ü = 2" in prompt and prompt.endswith("Review this")


@pytest.mark.slow
async def test_what_is_piped_in_without_a_prompt_is_the_prompt(simulator: Simulator):
    simulator.script(MODEL, Answer("Hello."))
    ran = await piped(simulator, b"Say hello\n")
    assert (ran.code, ran.out, ran.err) == (0, "Hello.\n", "")
    assert asked(simulator)["messages"][-1]["content"].strip() == "Say hello"


@pytest.mark.slow
async def test_files_are_read_where_the_user_names_them_and_quiet_leaves_out_the_notes(
    simulator: Simulator, tmp_path: Path
):
    simulator.script(MODEL, Answer("Fine."))
    (tmp_path / "a.txt").write_text("alpha", encoding="utf-8")
    (tmp_path / "b.txt").write_text("beta", encoding="utf-8")
    files = [f"-f{tmp_path / name}" for name in ("a.txt", "b.txt")]
    ran = await piped(simulator, b"", "Review", *files, "--system", "Be brief.", "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "Fine.\n", "")
    system, user = asked(simulator)["messages"]
    assert system["content"] == "Be brief." and "alpha" in user["content"] and "beta" in user["content"]


@pytest.mark.slow
@pytest.mark.parametrize("as_file", [False, True])
async def test_a_schema_gives_json_and_only_json(simulator: Simulator, tmp_path: Path, as_file: bool):
    simulator.script(MODEL, Answer('{"age": 36}'))
    schema = SCHEMA
    if as_file:
        schema = str(tmp_path / "schema.json")
        (tmp_path / "schema.json").write_text(SCHEMA, encoding="utf-8")
    ran = await piped(simulator, b"", "How old?", "--schema", schema)
    assert ran.code == 0 and json.loads(ran.out) == {"age": 36}
    assert asked(simulator)["format"] == json.loads(SCHEMA)


@pytest.mark.slow
async def test_json_is_the_answer_with_its_notes_or_the_error(simulator: Simulator):
    simulator.script(MODEL, Answer("Fine."))
    ran = await piped(simulator, b"text", "Review", "--json")
    found = json.loads(ran.out)
    assert found["answer"] == "Fine." and "stdin" in found["notes"][-1]
    simulator.script(MODEL, Answer(["One "], error="the runner died"))
    ran = await piped(simulator, b"", "Count", "--json")
    assert ran.code == 1 and json.loads(ran.out)["partial"] == "One "


async def test_an_error_is_on_stderr_and_the_exit_code_tells(simulator: Simulator):
    ran = await run("ask", "-m", "no-such:1b", "Hi", OLLAMA_HOST=simulator.url)
    assert (ran.code, ran.out) == (1, "") and ran.err.startswith("[model_not_found]")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to ask"),
        (["Hi", "--schema", "{oh"], "not valid JSON"),
        (["Hi", "--schema", "no-such.json"], "cannot be read"),
    ],
)
async def test_wrong_use_sends_nothing(simulator: Simulator, arguments: list[str], said: str):
    ran = await run("ask", *arguments, OLLAMA_HOST=simulator.url)
    assert ran.code == 2 and said in ran.err and "Traceback" not in ran.err
    assert not simulator.requests


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="has no pseudo-terminals")
async def test_on_a_terminal_it_does_not_wait_for_stdin_and_shows_what_it_waits_for(simulator: Simulator):
    simulator.script(MODEL, Answer(["One ", "two."]))
    code, out, shown = await on_terminal(simulator, "", "ask", "-m", MODEL, "Count")
    assert (code, out) == (0, "One two.\n") and f"waiting for {MODEL}" in shown
