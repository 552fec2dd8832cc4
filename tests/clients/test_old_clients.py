"""Clients of older MCP SDKs, in Python and TypeScript, work over every transport that they know."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests import installed
from tests.support import connected
from tests.transports.wire import StdioPeer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
SERVER = [sys.executable, "-m", "ollama_mcp"]
# The versions of the protocol that they ask for.
SPOKEN = {"1.2.1": "2024-11-05", "1.12.4": "2025-06-18", "1.30.0": "2025-11-25", "typescript": "2025-11-25"}


def client(version: str) -> tuple[list[str], list[str]]:
    """The program of a client, and what follows its other arguments."""
    if version == "typescript":
        return [installed.node(), str(HERE / "typescript_client.cjs")], [str(installed.from_npm(HERE / version))]
    if sys.version_info >= (3, 14) and version != "1.30.0":
        pytest.skip("the pydantic that it needs has no build for this Python")
    python = installed.from_index(HERE / "python" / f"mcp-{version}.txt")
    return [str(python), str(HERE / "python_client.py")], []


@contextmanager
def target(transport: str, simulator: Simulator, home: Path) -> Generator[Any]:
    """What a client is told of a server of ours."""
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "OLLAMA_HOST": simulator.url}
    if transport == "stdio":
        yield {"command": SERVER, "env": env}
        return
    with StdioPeer("--transport", transport, "--port", "0", command=SERVER, folder=home, env=env) as process:
        yield process.next_line().removeprefix("ollama-mcp-server listens at ")
        process.process.terminate()
        assert process.wait() == 0


@pytest.mark.parametrize(
    ("version", "transport"),
    [
        ("1.2.1", "stdio"),
        ("1.2.1", "sse"),
        ("1.12.4", "stdio"),
        ("1.12.4", "http"),
        ("1.30.0", "stdio"),
        ("1.30.0", "http"),
        ("typescript", "stdio"),
        ("typescript", "http"),
    ],
)
async def test_it_lists_calls_fails_and_cancels(
    version: str, transport: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.script("*", Answer(text="An answer."), Answer(hold="never"))
    async with connected(simulator.url) as current:
        names = [tool.name for tool in (await current.list_tools()).tools]

    def run() -> subprocess.CompletedProcess[str]:
        program, rest = client(version)
        with target(transport, simulator, tmp_path) as given:
            command = [*program, transport, json.dumps(given), simulator.url, *rest]
            return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)

    done = await asyncio.to_thread(run)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert (seen["version"], seen["server"]) == (SPOKEN[version], "ollama")
    assert seen["tools"] == names
    assert seen["text"] == "An answer."
    assert seen["failed"] and seen["error"].startswith("[model_not_found] Model 'nowhere' is not installed")
