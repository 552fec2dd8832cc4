"""The MCP Inspector, a TypeScript client, works over every transport of ours."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from ollama_mcp.simulator import Simulator
from tests.conformance import node
from tests.transports.wire import ROOT, SAMPLE, StdioPeer, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@contextmanager
def target(transport: str) -> Generator[list[str]]:
    """The Inspector's arguments that name a server of ours."""
    if transport == "stdio":
        yield [*SAMPLE, "stdio"]
        return
    with StdioPeer(transport, "127.0.0.1", "0") as process:
        process.until("lifespan open")
        url = process.next_line().removeprefix("listening ")
        yield [url, "--transport", transport]


def inspect(arguments: list[str], code: int = 0) -> dict[str, Any]:
    """Runs the Inspector; gives the result that it prints, which has no remarks on our schemas."""
    done = subprocess.run(
        node.inspector(*arguments, "--format", "json"),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr[-1000:]
    printed = json.loads(done.stdout)
    assert "schemaFindings" not in printed, printed["schemaFindings"]
    return printed["result"]


@pytest.mark.parametrize(
    ("transport", "era", "version"),
    [
        ("stdio", "legacy", "2025-11-25"),
        ("stdio", "auto", "2026-07-28"),
        ("stdio", "modern", "2026-07-28"),
        ("http", "legacy", "2025-11-25"),
        ("http", "modern", "2026-07-28"),
        ("sse", "legacy", "2025-11-25"),
    ],
)
def test_it_agrees_on_a_version_lists_tools_and_calls_them(transport: str, era: str, version: str) -> None:
    with target(transport) as server:
        options = [*server, "--protocol-era", era, "--method"]
        assert inspect([*options, "initialize"])["protocolVersion"] == version
        assert "echo" in [tool["name"] for tool in inspect([*options, "tools/list"])["tools"]]
        called = inspect([*options, "tools/call", "--tool-name", "echo", "--tool-arg", "text=hi"])
        assert called["content"][0]["text"] == "hi"
        failed = inspect([*options, "tools/call", "--tool-name", "failing"], code=5)
        assert failed["isError"]


@pytest.mark.parametrize("transport", ["stdio", "http", "sse"])
async def test_it_finds_no_fault_with_the_command_and_asks_a_model(simulator: Simulator, transport: str) -> None:
    everything = ["--toolsets", "all", "--set", "audio.enabled=true"]
    command = [sys.executable, "-m", "ollama_mcp", "--ollama", simulator.url, *everything]

    def look(server: list[str], era: str) -> None:
        options = [*server, "--protocol-era", era, "--method"]
        assert inspect([*options, "initialize"])["serverInfo"]["name"] == "ollama"
        assert len(inspect([*options, "tools/list", "--strict"])["tools"]) >= 20
        call = [*options, "tools/call", "--tool-name", "ollama_chat", "--tool-arg", "prompt=Hi", "--tool-arg"]
        assert inspect([*call, "model=llama3.2:3b"])["content"][0]["text"]
        failed = inspect([*call, "model=nowhere"], code=5)
        assert failed["isError"] and failed["content"][0]["text"].startswith("[model_not_found]")

    def run() -> None:
        if transport == "stdio":
            for era in ("legacy", "modern"):
                look(command, era)
            return
        with StdioPeer("--transport", transport, "--port", "0", command=command) as process:
            url = process.next_line().removeprefix("ollama-mcp-server listens at ")
            for era in ("legacy", "modern") if transport == "http" else ("legacy",):
                look([url, "--transport", transport], era)
            process.process.terminate()
            assert process.wait() == 0

    await asyncio.to_thread(run)
