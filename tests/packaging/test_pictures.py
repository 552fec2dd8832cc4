"""The pictures show what the program prints now; `make pictures` makes them anew."""

from __future__ import annotations

import json
import sys

import pytest

from docs.pictures.__main__ import HERE, SHOTS, diagrams
from docs.pictures.terminal import comparable, words_of_svg
from ollama_mcp.simulator import Simulator
from tests.packaging.conftest import ROOT
from tests.support import connected

_STALE = "{} is stale: run `make pictures`"


@pytest.mark.parametrize("file", sorted(diagrams()))
def test_the_diagram_is_the_one_that_is_drawn(file: str) -> None:
    assert (HERE / file).read_text(encoding="utf-8") == diagrams()[file], _STALE.format(file)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the pictures show paths of POSIX")
@pytest.mark.parametrize("name", sorted(SHOTS))
async def test_a_terminal_shows_what_the_command_prints(name: str) -> None:
    shown = words_of_svg((HERE / f"{name}.svg").read_text(encoding="utf-8"))
    assert len(shown) > 500
    assert shown == comparable(await SHOTS[name]()), _STALE.format(f"{name}.svg")


async def test_the_inspector_shows_the_tools_that_there_are(simulator: Simulator) -> None:
    async with connected(simulator.url) as client:
        tools = [f"{tool.title}: {tool.name}" for tool in (await client.list_tools()).tools]
    assert (HERE / "inspector.txt").read_text(encoding="utf-8").splitlines() == tools, _STALE.format("inspector.png")


def test_the_recording_is_of_all_steps_that_the_demo_has() -> None:
    head, *events = (HERE / "demo.cast").read_text(encoding="utf-8").splitlines()
    assert json.loads(head)["version"] == 2
    times = [json.loads(event)[0] for event in events]
    assert times == sorted(times) and times[-1] > 5
    said = "".join(json.loads(event)[2] for event in events)
    steps = (ROOT / "ollama_mcp/cli/demo_steps.py").read_text(encoding="utf-8")
    tools = {word for word in said.replace("(", " ").split() if word.startswith("ollama_")}
    assert said.count("[1;36m. ") > 10 and all(f'"{tool}"' in steps for tool in tools if tool.isidentifier())


def test_no_picture_shows_where_it_was_made() -> None:
    for file in ("demo.svg", "doctor.svg", "batch.svg", "demo.cast", "inspector.txt"):
        assert str(ROOT) not in (HERE / file).read_text(encoding="utf-8"), file
