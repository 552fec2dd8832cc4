"""`search` prints places that a terminal can open, and marks the words that were found."""

import json
from pathlib import Path

import pytest

from ollama_mcp.simulator import Simulator
from tests.cli.support import on_screen, run
from tests.cli.test_output import needs_terminal
from tests.cli.test_work import piped

NOTES = "# Sea\n\nThe harbour opens at nine.\n"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    file = tmp_path / "sea notes.md"
    file.write_text(NOTES, encoding="utf-8")
    return file


async def test_a_place_is_the_path_with_its_lines_and_below_it_what_stands_there(simulator: Simulator, notes: Path):
    ran = await run("search", "harbour", "--words", str(notes), OLLAMA_HOST=simulator.url)
    place, text = ran.out.splitlines()
    assert ran.code == 0 and place.startswith(f"{notes}:1-3") and text.startswith("  ") and "harbour opens" in text
    assert "\x1b" not in ran.out


@needs_terminal
@pytest.mark.slow
async def test_on_a_terminal_places_are_links_and_words_are_marked(simulator: Simulator, notes: Path):
    command = ("search", "when does the harbour open", str(notes), "--words")
    _, shown = await on_screen(*command, OLLAMA_HOST=simulator.url, NO_COLOR="")
    assert f"\x1b]8;;{notes.as_uri()}\x1b\\" in shown and "\x1b[1;31mharbour\x1b[0m" in shown
    _, shown = await on_screen(*command, "--no-color", OLLAMA_HOST=simulator.url)
    assert "\x1b]8" not in shown and "31m" not in shown and "harbour" in shown


@pytest.mark.slow
async def test_data_lines_of_a_file_and_what_is_piped_in(simulator: Simulator, notes: Path):
    ran = await run("search", "harbour", f"{notes}:3-3", "--words", "--json", OLLAMA_HOST=simulator.url)
    assert [row["place"] for row in json.loads(ran.out)["rows"]] == [f"{notes}:3"]
    ran = await piped(simulator, NOTES.encode(), "search", "harbour", "--words")
    assert ran.out.startswith("stdin:1-3")
    ran = await run("search", "zebra", str(notes), "--words", OLLAMA_HOST=simulator.url)
    assert (ran.code, ran.out) == (0, "") and "Nothing was found." in ran.err


@pytest.mark.slow
async def test_wrong_use_is_told(simulator: Simulator, notes: Path):
    ran = await run("search", "harbour", OLLAMA_HOST=simulator.url)
    assert ran.code == 2 and "nothing to search" in ran.err
    ran = await run("search", "x", str(notes), "--words", "--meaning", OLLAMA_HOST=simulator.url)
    assert ran.code == 2 and "exclude each other" in ran.err
