"""Claude Code on a terminal, the one place where it knows tasks: long work goes on while its user goes on."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
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


def batch(output: str) -> Use:
    """A batch over three texts."""
    return Use("ollama_batch", {"model": MODEL, "prompt": "Label: {text}", "input": TEXTS, "output": output})


def agent() -> Script:
    """Starts a batch and stops it, starts another and lets it end."""
    started = yield batch("stopped.jsonl")
    stop = re.search(r'TaskStop with task_id "(\w+)"', started)
    yield Use("TaskStop", {"task_id": stop[1] if stop else started})
    yield batch("kept.jsonl")
    yield "I wait for it."
    yield "It is done."


@pytest.mark.skipif(not importlib.util.find_spec("ollama_mcp.server.tasks"), reason="needs MCP Tasks")
async def test_a_batch_becomes_a_task_that_the_agent_stops_or_is_told_of_when_it_is_done(
    simulator: Simulator, tmp_path: Path
) -> None:
    simulator.script(MODEL, Answer(hold="never"), Answer(text="a"), Answer(text="b", hold="rest"), Answer(text="c"))
    host, home = Claude(), Home(tmp_path)
    async with ScriptedModel(agent(), host.prefix) as model:
        options = ["--set", "jobs.grace_seconds=1", "--set", "work.parallel=1"]
        await home.prepare(host, model.url, Server(simulator.url, options))
        env = home.environment(model.url, host.variables(model.url))
        async with Terminal(host.base(), home.project, env) as terminal:
            await terminal.shows("manual mode on")
            await terminal.enter("Label my texts")
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
