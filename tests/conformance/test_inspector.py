"""The MCP Inspector, a TypeScript client, works over every transport of ours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

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
    """Runs the Inspector; gives the JSON that it prints."""
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
    return json.loads(done.stdout)["result"]


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
