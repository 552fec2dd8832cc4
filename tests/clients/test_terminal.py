"""Claude Code on a terminal, the one place where it knows tasks: long work goes on while its user goes on."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.clients.dialects import Use
from tests.clients.hosts import Claude, Home, Server
from tests.clients.scripted_model import Script, ScriptedModel
from tests.clients.terminal import Terminal

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of POSIX"),
]

MODEL = "llama3.2:3b"
TEXTS = ["one", "two", "three"]
ENTER, ESCAPE, RIGHT = "\r", "\x1b", "\x1b[C"


@asynccontextmanager
async def claude(
    script: Script, simulator: Simulator, folder: Path, *options: str
) -> AsyncGenerator[tuple[Terminal, ScriptedModel]]:
    """Claude Code, told to begin."""
    host, home = Claude(), Home(folder)
    async with ScriptedModel(script, host.prefix) as model:
        await home.prepare(host, model.url, Server(simulator.url, [*options]))
        env = home.environment(model.url, host.variables(model.url))
        async with Terminal(host.on_terminal(), home.project, env) as terminal:
            await terminal.shows("manual mode on")
            await terminal.enter("Do what is to be done")
            yield terminal, model


def batch(output: str) -> Use:
    """A batch over three texts."""
    return Use("ollama_batch", {"model": MODEL, "prompt": "Label: {text}", "input": TEXTS, "output": output})


def two_batches() -> Script:
    """Starts a batch and stops it, starts another and lets it end."""
    started = yield batch("stopped.jsonl")
    stop = re.search(r'TaskStop with task_id "(\w+)"', started)
    yield Use("TaskStop", {"task_id": stop[1] if stop else started})
    yield batch("kept.jsonl")
    yield "I wait for it."
    yield "It is done."


def one_call(tool: str, **arguments: object) -> Script:
    """Makes a call and is content with what comes."""
    yield Use(tool, {"model": MODEL, **arguments})
    yield "So it is."


async def test_a_batch_becomes_a_task_that_the_agent_stops_or_is_told_of_when_it_is_done(
    simulator: Simulator, tmp_path: Path
) -> None:
    simulator.script(MODEL, Answer(hold="never"), Answer(text="a"), Answer(text="b", hold="rest"), Answer(text="c"))
    options = ("--set", "jobs.grace_seconds=1", "--set", "work.parallel=1")
    async with claude(two_batches(), simulator, tmp_path, *options) as (terminal, model):
        await terminal.until(lambda: simulator.disconnects)
        await terminal.shows("I wait for it.")
        simulator.release("rest")
        await terminal.shows("It is done.")
    started, stopped, _ = model.asked[-1].results
    assert "started server-side task batch-" in started
    assert "is stopped" in stopped
    (told,) = model.asked[-1].body["messages"][-1]["content"]
    assert "<status>completed</status>" in told["text"]
    result = json.loads(told["text"].split("<result>")[1].split("</result>")[0])
    assert (result["done"], result["rows"]) == (3, 3) and result["output"].endswith("kept.jsonl")
    # The task that was stopped took none of them.
    assert [row["output"] for row in result["samples"]] == ["a", "b", "c"]


async def test_the_key_that_stops_a_call_stops_ollama(simulator: Simulator, tmp_path: Path) -> None:
    simulator.script(MODEL, Answer(hold="never"))
    async with claude(one_call("ollama_chat", prompt="Hi"), simulator, tmp_path) as (terminal, _):
        await terminal.until(lambda: simulator.in_flight)
        await terminal.shows("esc to interrupt")
        assert not simulator.disconnects
        terminal.press(ESCAPE)
        await terminal.until(lambda: simulator.disconnects)
        await terminal.shows("Interrupted")


@pytest.mark.parametrize("answer", ["accept", "decline", "cancel"])
async def test_one_key_of_the_user_deletes_a_model_and_another_does_not(
    simulator: Simulator, tmp_path: Path, answer: str
) -> None:
    async with claude(one_call("ollama_delete_model"), simulator, tmp_path) as (terminal, model):
        await terminal.shows("Esc to cancel")
        assert f"This deletes {MODEL}" in terminal.shown
        # An answer that comes at once would be one of the host, which a user did not see.
        await asyncio.sleep(0.5)
        if answer == "decline":
            terminal.press(RIGHT)
            await terminal.until(lambda: re.search(r"Accept +\S Decline", terminal.shown))
        terminal.press(ESCAPE if answer == "cancel" else ENTER)
        await terminal.shows("So it is.")
    assert (MODEL in [model.name.short for model in simulator.store.listed()]) == (answer != "accept")
    (result,) = model.asked[-1].results
    assert ("was deleted" in result) == (answer == "accept") and ("[declined]" in result) == (answer != "accept")
