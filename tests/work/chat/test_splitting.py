"""A text that is read in pieces: what is told while the answers are combined, and of what was cut."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ollama_mcp.simulator import Answer, Simulator
from tests.support import connected, texts

MODEL = "llama3.2:3b"
# An answer to a piece that used up its tokens; of many such the first steps make fewer.
LONG = Answer(
    text=" ".join(f"Paragraph {number} says something of its own." for number in range(70)),
    done_reason="length",
    tokens=700,
)
PARAGRAPHS = "\n\n".join(f"Paragraph {number}. " + "Some words of it. " * 25 for number in range(200))


async def test_the_steps_that_combine_many_answers_are_reported_and_counted_apart(simulator: Simulator):
    simulator.script(MODEL, *(replace(LONG) for _ in range(60)))
    seen: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(message or "")

    arguments = {"model": MODEL, "prompt": f"What does it say?\n\n{PARAGRAPHS}", "too_long": "split"}
    async with connected(simulator.url, limits={"num_ctx": 4_096}) as client:
        notes = texts(await client.call_tool("ollama_chat", arguments, progress_callback=note))[1]
    asked = [json.loads(request.body) for request in simulator.requests if request.path == "/api/chat"]
    pieces = int(notes.split("Read in ")[1].split()[0])
    steps = len(asked) - pieces - 1
    assert steps > 1
    assert f"{pieces} of {pieces} answers to pieces: cut because it grew too long; ask for less.\n" in notes
    assert f"{steps} of {steps} steps that combined them: cut" in notes
    assert any(message.startswith(f"combining {pieces} answers") for message in seen)


async def test_fewer_files_are_advised_only_where_there_are_several(simulator: Simulator, tmp_path: Path):
    simulator.script(MODEL, *(replace(LONG) for _ in range(120)))
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(PARAGRAPHS)
    arguments = {"model": MODEL, "prompt": "What?", "too_long": "split"}
    async with connected(simulator.url, limits={"num_ctx": 8_192}, read={"text_folders": [str(tmp_path)]}) as client:
        one = await client.call_tool("ollama_chat", {**arguments, "files": [str(tmp_path / "a.txt")]})
        two = await client.call_tool("ollama_chat", {**arguments, "files": [str(tmp_path / "*.txt")]})
    assert "ask for less." in texts(one)[1] and "fewer files" not in texts(one)[1]
    assert "ask for less, or for fewer files at once." in texts(two)[1]
