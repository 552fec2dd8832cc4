"""`call` shows on a terminal how far it is, and keeps that out of what is piped on."""

import os

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.cli.support import run
from tests.cli.test_confirming import on_terminal

MODEL = "llama3.2:3b"
CALL = ["call", "ollama_chat", f"model={MODEL}", "prompt=Hi"]
CLEAR = "\r\x1b[K"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="has no pseudo-terminals")
async def test_on_a_terminal_one_line_tells_the_progress_and_is_gone_at_the_end(simulator: Simulator):
    simulator.script(MODEL, Answer(["One ", "two."]))
    code, out, shown = await on_terminal(simulator, "", *CALL)
    assert (code, out) == (0, "One two.\n")
    assert f"{CLEAR}waiting for {MODEL}" in shown and shown.endswith(CLEAR) and "\n" not in shown


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "openpty"), reason="has no pseudo-terminals")
async def test_a_line_never_wraps_and_shows_its_end(simulator: Simulator):
    simulator.script(MODEL, Answer(["好" * 200, " end."]))
    _, out, shown = await on_terminal(simulator, "", *CALL, COLUMNS="40")
    assert out == f"{'好' * 200} end.\n"
    lines = shown.split(CLEAR)
    assert max(sum(2 if letter == "好" else 1 for letter in line) for line in lines) <= 39


async def test_background_is_no_job_that_ends_with_the_command_but_waits(simulator: Simulator):
    simulator.script(MODEL, Answer(["One ", "two."]))
    ran = await run(*CALL, "background=true", OLLAMA_HOST=simulator.url)
    assert (ran.code, ran.out) == (0, "One two.\n")
    assert ran.err.startswith("background is ignored")


async def test_without_a_terminal_nothing_but_the_answer_is_printed(simulator: Simulator):
    simulator.script(MODEL, Answer(["One ", "two."]))
    ran = await run(*CALL, OLLAMA_HOST=simulator.url)
    assert (ran.code, ran.out, ran.err) == (0, "One two.\n", "")
