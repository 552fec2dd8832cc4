"""What needs the user's yes is asked by `call` on a terminal; elsewhere the error says how it can be had."""

import asyncio
import os
from pathlib import Path

import pytest

from ollama_mcp.simulator import Simulator
from tests.cli.support import ROOT, environment, run
from tests.program import program

MODEL = "llama3.2:3b"
CALL = ["call", "ollama_delete_model", f"model={MODEL}"]
pytestmark = pytest.mark.skipif(not hasattr(os, "openpty"), reason="has no pseudo-terminals")


def _deleted(simulator: Simulator) -> bool:
    return "/api/delete" in [seen.path for seen in simulator.requests]


async def on_terminal(simulator: Simulator, typed: str, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """Run the command on a terminal where somebody types; gives its exit code, stdout, and what the terminal shows."""
    ours, theirs = os.openpty()
    try:
        # The terminal keeps what is typed until it is read.
        os.write(ours, typed.encode())
        process = await asyncio.create_subprocess_exec(
            *program(),
            *arguments,
            cwd=ROOT,
            env=environment(OLLAMA_HOST=simulator.url, TERM="xterm", **variables),
            stdin=theirs,
            stdout=asyncio.subprocess.PIPE,
            stderr=theirs,
        )
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode(), os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("more", [[], ["confirm=true"]])
async def test_on_a_terminal_yes_does_it(simulator: Simulator, more: list[str]):
    code, out, shown = await on_terminal(simulator, "y\n", *CALL, *more)
    assert code == 0 and MODEL in out
    assert f"This deletes {MODEL}" in shown and "[y/N]" in shown and "confirm=true" not in shown
    assert _deleted(simulator)


@pytest.mark.parametrize("typed", ["n\n", "\n", "\x04"])
async def test_on_a_terminal_anything_else_does_nothing(simulator: Simulator, typed: str):
    code, _, shown = await on_terminal(simulator, typed, *CALL, "confirm=true")
    assert code == 1 and "Nothing was done." in shown
    assert not _deleted(simulator)


async def test_a_model_is_published_after_a_yes(simulator: Simulator):
    await run("call", "ollama_copy_model", f"source={MODEL}", "destination=me/mine", OLLAMA_HOST=simulator.url)
    code, _, shown = await on_terminal(simulator, "y\n", "call", "ollama_push_model", "model=me/mine")
    assert code == 0 and "This publishes me/mine" in shown


async def test_without_a_terminal_the_error_names_what_can_be_followed(simulator: Simulator, tmp_path: Path):
    refused = await run(*CALL, "confirm=true", OLLAMA_HOST=simulator.url)
    assert refused.code == 1 and not _deleted(simulator)
    assert refused.err.startswith("[needs_confirmation]") and "confirm=true" not in refused.err
    assert "--set policy.delete=allow" in refused.err
    done = await run("--set", "policy.delete=allow", *CALL, OLLAMA_HOST=simulator.url)
    assert done.code == 0 and _deleted(simulator)


async def test_started_by_hand_the_server_says_what_it_waits_for(simulator: Simulator):
    # Ctrl-D ends its input, as a host does that leaves.
    code, out, shown = await on_terminal(simulator, "\x04")
    assert (code, out) == (0, "")
    assert "waits for an MCP client" in shown and " demo" in shown
