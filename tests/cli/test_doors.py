"""Models, help and misspelt words at the command line."""

import json
import os

import pytest

from ollama_mcp.cli import main
from ollama_mcp.simulator import Simulator
from tests.cli.support import run
from tests.cli.test_confirming import on_terminal

MODEL = "llama3.2:3b"


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code and what was printed by a command that asks nobody."""
    try:
        code = main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_a_misspelt_command_is_told_the_closest(capsys: pytest.CaptureFixture[str]):
    code, out, err = said(capsys, "docter")
    assert (code, out) == (2, "") and "there is no 'docter'. Did you mean 'doctor'?" in err
    code, _, err = said(capsys, "xyzzy")
    assert code == 2 and "--help` lists what there is" in err


def test_help_and_version_are_commands_too(capsys: pytest.CaptureFixture[str]):
    assert said(capsys, "version") == said(capsys, "--version")
    assert said(capsys, "help") == said(capsys, "--help")
    assert said(capsys, "help", "ask") == said(capsys, "ask", "--help")


def test_a_tool_is_described_from_its_schema(capsys: pytest.CaptureFixture[str]):
    code, out, _ = said(capsys, "call", "ollama_pull_model", "--help")
    assert code == 0 and out.startswith("ollama_pull_model: ")
    (line,) = [line for line in out.splitlines() if line.startswith("  model ")]
    assert "string" in line and line.endswith("(required)")
    assert said(capsys, "call", "--help")[1].startswith("usage: ")
    code, out, err = said(capsys, "call", "ollama_chatt", "--help")
    assert (code, out) == (2, "") and "Did you mean 'ollama_chat'?" in err


@pytest.mark.slow
async def test_models_are_listed_shown_and_downloaded(simulator: Simulator):
    listed = await run("models", OLLAMA_HOST=simulator.url)
    assert listed.code == 0 and MODEL in listed.out
    as_json = await run("models", "list", "--json", OLLAMA_HOST=simulator.url)
    assert MODEL in [model["name"] for model in json.loads(as_json.out)["models"]]
    shown = await run("models", "show", MODEL, OLLAMA_HOST=simulator.url)
    assert shown.code == 0 and "llama" in shown.out
    pulled = await run("models", "pull", "qwen3:0.6b", OLLAMA_HOST=simulator.url)
    assert pulled.code == 0, pulled.err
    assert "/api/pull" in [seen.path for seen in simulator.requests]


def test_models_needs_a_name_but_for_the_list(capsys: pytest.CaptureFixture[str]):
    code, _, err = said(capsys, "models", "show")
    assert code == 2 and "models show takes the name of a model" in err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="has no pseudo-terminals")
@pytest.mark.parametrize(("typed", "gone"), [("y\n", True), ("n\n", False)])
async def test_a_model_is_deleted_after_a_yes(simulator: Simulator, typed: str, gone: bool):
    code, _, shown = await on_terminal(simulator, typed, "models", "rm", MODEL)
    assert f"This deletes {MODEL}" in shown and code == (0 if gone else 1)
    assert ("/api/delete" in [seen.path for seen in simulator.requests]) is gone
