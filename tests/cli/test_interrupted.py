"""Ctrl-C in the middle of a batch: what is kept is told, and the same command goes on with it."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.cli.support import environment, run
from tests.support import until

MODEL = "llama3.2:3b"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no signal is sent to a single process there")
async def test_an_interrupted_batch_says_that_the_same_command_goes_on(simulator: Simulator, tmp_path: Path) -> None:
    simulator.script(MODEL, Answer("first"), Answer("never", hold="go"))
    command = ("batch", "a b", "c d", "-p", "Say {text}", "-m", MODEL, "-o", str(tmp_path / "out.jsonl"))
    kept = {"OLLAMA_HOST": simulator.url, "OLLAMA_MCP_STORE__PATH": str(tmp_path / "s.sqlite3")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ollama_mcp"),
        *command,
        "--set=work.parallel=1",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**kept),
    )
    await until(lambda: len([one for one in simulator.requests if one.path == "/api/chat"]) == 2, 60)
    process.send_signal(signal.SIGINT)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 130 and b"the same command goes on" in said
    simulator.script(MODEL, Answer("second"))
    done = await run(*command, **kept)
    assert done.code == 0 and "first" in done.out and "second" in done.out
