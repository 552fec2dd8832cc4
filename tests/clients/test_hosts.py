"""Real hosts with a scripted model: what they offer to it, what reaches it of our results, and how they stop a call."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.clients.dialects import Use
from tests.clients.hosts import Claude, Codex, Gemini, Home, Host, Server
from tests.clients.scripted_model import Script, ScriptedModel
from tests.support import connected, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="starts and ends programs as POSIX does"),
]

MODEL, UNUSED = "llama3.2:3b", "qwen3:4b"
SHORT = "A short answer. " * 300
# 30 kB, of which no note of ours has a character.
LONG = "§ " * 10_000
ENDLESS = "Never answer"
_JOB = re.compile(r"ollama_job\(action='result', id='([^']+)'(?:, offset=(\d+))?\)")


def agent(simulator: Simulator) -> Script:
    """Lists, asks for what takes long, errs, deletes, asks for what is short, and waits for what never comes."""
    yield Use("ollama_list_models", {"capability": "vision"})
    simulator.script(MODEL, Answer(text=[LONG, "THE END"], hold="rest", hold_after=1))
    result = yield chat()
    simulator.release("rest")
    further, offset = _JOB.search(result), {}
    while further:
        result = yield Use("ollama_job", {"action": "result", "id": further[1], **offset})
        further = _JOB.search(result)
        offset = {"offset": int(further[2])} if further else {}
    yield chat(model="nowhere")
    yield Use("ollama_delete_model", {"model": UNUSED})
    yield Use("ollama_delete_model", {"model": UNUSED, "confirm": True})
    simulator.script(MODEL, Answer(text=SHORT), Answer(hold="never", hold_after=0))
    yield chat()
    yield chat(prompt=ENDLESS)


def chat(model: str = MODEL, prompt: str = "Hi") -> Use:
    """A call of a local model."""
    return Use("ollama_chat", {"model": model, "prompt": prompt})


@pytest.mark.parametrize("host", [Claude(), Codex(), Gemini()], ids=lambda host: host.name)
async def test_an_agent_is_given_the_tools_and_all_that_a_call_can_end_in(
    host: Host, simulator: Simulator, tmp_path: Path
) -> None:
    async with connected(simulator.url) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        instructions = client.instructions or ""
    home = Home(tmp_path)
    async with ScriptedModel(agent(simulator), host.prefix) as model:
        await home.prepare(host, model.url, Server(simulator.url, ["--set", "jobs.call_seconds=3"]))
        async with home.running(host, model.url) as running:
            await running.until(lambda: any(ENDLESS in str(entry.body) for entry in simulator.in_flight))
            assert not simulator.disconnects
            await running.interrupt()
            await until(lambda: simulator.disconnects)
    first, last = json.dumps(model.asked[0].body, ensure_ascii=False), model.asked[-1].results
    assert instructions and json.dumps(instructions, ensure_ascii=False)[1:-1] in first
    assert not [name for name in names if name not in first]
    listed, handed_over, *pieces, failed, asked, confirmed, short = last
    assert "gemma3:4b" in listed
    assert "The call continues as job" in handed_over and "§" in handed_over
    assert "".join(pieces).count("§") == LONG.count("§") and "THE END" in pieces[-1]
    assert "[model_not_found] Model 'nowhere' is not installed" in failed
    assert SHORT in short
    deleted = UNUSED not in [model.name.short for model in simulator.store.listed()]
    assert deleted == ("was deleted" in confirmed) and "was deleted" not in asked
    # The others have forms, or ask before any such call.
    assert deleted or host.name != "gemini"
