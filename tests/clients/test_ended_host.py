"""A job outlives its host: the next one fetches it under the same id."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.clients.dialects import Use
from tests.clients.hosts import Claude, Home, Server
from tests.clients.scripted_model import Script, ScriptedModel

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="starts and ends programs as POSIX does"),
]

MODEL, OTHER = "llama3.2:3b", "gemma3:4b"
TEXTS = ["one", "two", "three"]


def first(jobs: list[str]) -> Script:
    """Starts a batch, and is busy with something else when its host ends."""
    batch = {"model": MODEL, "prompt": "Label: {text}", "input": TEXTS, "output": "labels.jsonl", "background": True}
    started = yield Use("ollama_batch", batch)
    jobs += re.findall(r"ollama_job\(action='result', id='([^']+)'", started)[:1]
    yield Use("ollama_chat", {"model": OTHER, "prompt": "Hi"})


def second(job: str) -> Script:
    """Asks for the result."""
    yield Use("ollama_job", {"action": "result", "id": job})
    yield "Here it is."


async def test_a_batch_whose_host_was_killed_is_fetched_whole_by_the_next(simulator: Simulator, tmp_path: Path) -> None:
    simulator.script(MODEL, Answer(text="a"), Answer(hold="never"), Answer(text="b"), Answer(text="c"))
    simulator.script(OTHER, Answer(hold="never"))
    host, home, jobs = Claude(), Home(tmp_path), list[str]()
    async with ScriptedModel(first(jobs), host.prefix) as model:
        await home.prepare(host, model.url, Server(simulator.url, ["--set", "work.parallel=1"]))
        async with home.running(host, model.url) as running:
            await running.until(lambda: jobs and asked_for(simulator, "two"))
    async with ScriptedModel(second(jobs[0]), host.prefix) as model, home.running(host, model.url) as running:
        await running.until(lambda: len(model.asked) == 2)
    (shown,) = model.asked[-1].results
    result = json.loads(shown)
    assert (result["done"], result["rows"]) == (3, 3)
    assert [row["output"] for row in result["samples"]] == ["a", "b", "c"]
    # Nothing is done twice but the row that was cut.
    assert [asked_for(simulator, text) for text in TEXTS] == [1, 2, 1]


def asked_for(simulator: Simulator, text: str) -> int:
    """How often Ollama was asked to label a text."""
    return sum(f"Label: {text}" in entry.body.decode() for entry in simulator.requests)
