"""One look for all commands: drawn on a terminal, plain in a pipe, JSON where asked for, nothing but the result when
quiet.
"""

import json
import os

import pytest

from ollama_mcp.simulator import Simulator
from tests.cli.support import on_screen, run
from tests.cli.test_doors import said

MODEL = "llama3.2:3b"
ESCAPE = "\x1b["
BOLD_CYAN = f"{ESCAPE}1;36m"
needs_terminal = pytest.mark.skipif(not hasattr(os, "openpty"), reason="has no pseudo-terminals")


@needs_terminal
@pytest.mark.slow
async def test_a_terminal_is_shown_a_table_and_a_pipe_gets_lines(simulator: Simulator):
    piped = await run("models", OLLAMA_HOST=simulator.url)
    assert piped.out.startswith("name | parameters | ") and ESCAPE not in piped.out
    code, shown = await on_screen("models", OLLAMA_HOST=simulator.url, NO_COLOR="")
    assert code == 0 and BOLD_CYAN in shown and " | " not in shown
    (line,) = [line for line in shown.splitlines() if line.startswith(MODEL)]
    assert line.split()[:8] == [MODEL, "3.2B", "Q4_K_M", "2.0", "GB", "131072", "completion", "tools"]


@needs_terminal
@pytest.mark.slow
@pytest.mark.parametrize(("option", "variables"), [("--no-color", {"NO_COLOR": ""}), ("--quiet", {"NO_COLOR": "1"})])
async def test_without_colours_the_table_is_drawn_all_the_same(
    simulator: Simulator, option: str, variables: dict[str, str]
):
    _, shown = await on_screen("models", option, OLLAMA_HOST=simulator.url, **variables)
    assert f"{ESCAPE}36m" not in shown and BOLD_CYAN not in shown and " | " not in shown and MODEL in shown


@needs_terminal
@pytest.mark.slow
async def test_a_narrow_terminal_cuts_no_words(simulator: Simulator):
    _, shown = await on_screen("models", "--no-color", OLLAMA_HOST=simulator.url, COLUMNS="90")
    assert "digest" not in shown and "completion tools" in shown  # what can be done without goes first
    _, shown = await on_screen("models", "--no-color", OLLAMA_HOST=simulator.url, COLUMNS="40")
    assert "parameters: 3.2B" in shown and "capabilities: completion tools" in shown


@needs_terminal
@pytest.mark.slow
async def test_a_download_has_a_bar_unless_quiet(simulator: Simulator):
    code, shown = await on_screen("models", "pull", "qwen3:0.6b", OLLAMA_HOST=simulator.url)
    assert code == 0 and ("####] " in shown or "....] " in shown)
    assert shown.rstrip().splitlines()[-1].rpartition("\x1b[K")[2].startswith("qwen3:0.6b: downloaded")
    _, shown = await on_screen("models", "pull", "qwen3:1.7b", "--quiet", OLLAMA_HOST=simulator.url)
    assert "pulling" not in shown and "[#" not in shown


async def test_json_is_the_data_or_the_error(simulator: Simulator):
    shown = await run("models", "show", MODEL, "--json", OLLAMA_HOST=simulator.url)
    assert shown.code == 0 and json.loads(shown.out)["capabilities"] == ["completion", "tools"]
    missing = await run("call", "ollama_show_model", "model=nope", "--json", OLLAMA_HOST=simulator.url)
    error = json.loads(missing.out)["error"]
    assert (missing.code, missing.err, error["kind"]) == (1, "", "model_not_found")


async def test_an_answer_in_words_is_json_too(simulator: Simulator):
    ran = await run("call", "ollama_chat", f"model={MODEL}", "prompt=Hi", "--json", OLLAMA_HOST=simulator.url)
    assert ran.code == 0 and json.loads(ran.out)["answer"]


@pytest.mark.parametrize(
    ("command", "member"),
    [(("config", "show"), "settings"), (("store", "show"), "kept"), (("tools",), None), (("token", "list"), None)],
)
def test_what_looks_at_nothing_outside_has_json_too(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...], member: str | None
):
    code, out, _ = said(capsys, *command, "--json")
    found = json.loads(out)
    assert code == 0 and isinstance(found[member] if member else found, list)


def test_config_show_as_json_says_where_values_come_from(capsys: pytest.CaptureFixture[str]):
    _, out, _ = said(capsys, "config", "show", "--json", "--set", "limits.listed=7", "--ollama", "http://u:geheim@a")
    rows = {row["name"]: row for row in json.loads(out)["settings"]}
    assert rows["limits.listed"] == {"name": "limits.listed", "value": 7, "from": "command line"}
    assert "geheim" not in out and "(set)" in rows["host"]["value"]


def test_wrong_use_and_wrong_settings_are_json_too(capsys: pytest.CaptureFixture[str]):
    for command in (("models", "show"), ("config", "show", "--set", "limits.listed=x")):
        code, out, err = said(capsys, *command, "--json")
        assert (code, err) == (2, "") and json.loads(out)["error"]["kind"] == "invalid_argument"
