"""The real server as a process over stdio, in an empty folder of its own, with a simulated Ollama behind it."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest

from bench.clients import running
from ollama_mcp.errors import KINDS
from tests.fuzz.http_server import FuzzedHttp
from tests.program import program
from tests.transports.wire import Message, StdioPeer, environment, request

_MAX_ERROR_CHARS = 1_200
_OPTIONS = ("--toolsets", "all", "--set", "store.path=:memory:", "--set", "timeouts.connect=20")

_FILES = {
    "a.csv": "text,mark\none,1\ntwo,2\n",
    "b.txt": "first line\nsecond line\n",
    "c.jsonl": '{"text": "one"}\n{"text": "two"}\n',
    "Modelfile": "FROM llama3.2:3b\nPARAMETER temperature 0\n",
}


@dataclass
class FuzzedServer:
    """A server process, its tools, and what holds for each of its answers whatever it was asked."""

    peer: StdioPeer
    tools: dict[str, Message]

    def call(self, tool: str, arguments: Any) -> Message:
        """Make a call and hold its answer to the rules; fails after 20 s without one."""
        answer = self.peer.ask(request("fuzz", "tools/call", {"name": tool, "arguments": arguments}))
        self.check(answer, tool)
        return answer

    def check(self, answer: Message, tool: str = "") -> None:
        """Hold an answer to the rules: protocol, no fault of this server, no traceback, data as the schema says."""
        assert set(answer) in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"}), answer
        if "error" in answer:
            assert answer["error"]["code"] in (-32700, -32600, -32601, -32602, -32000), answer
            assert "Traceback" not in answer["error"]["message"], answer
            return
        result = answer["result"]
        if not result.get("isError"):
            if schema := self.tools.get(tool, {}).get("outputSchema"):
                jsonschema_rs.validate(schema, result["structuredContent"])
            return
        text = result["content"][0]["text"]
        kind = text.partition("]")[0].removeprefix("[")
        assert kind in KINDS and kind != "internal", text
        assert "Traceback" not in text and len(text) <= _MAX_ERROR_CHARS, text


@pytest.fixture(scope="session")
def simulator_url() -> Generator[str]:
    """A simulated Ollama without delays, in a process of its own."""
    with running("ollama_mcp", "simulate", "--port", "0", "--latency", "0", "--load", "0", "--transfer", "1e12") as url:
        yield url


@pytest.fixture(scope="session")
def server(simulator_url: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[FuzzedServer]:
    """One server for all tests. What it writes goes to a folder of its own; at the end it has to end by itself."""
    folder = tmp_path_factory.mktemp("fuzzed")
    (folder / ".git").mkdir()
    for name, content in _FILES.items():
        Path(folder / name).write_text(content, encoding="utf-8")
    # A name that is no UTF-8, as archives of other systems leave it.
    Path(os.fsdecode(bytes(folder) + b"/\xff.txt")).write_text("odd", encoding="utf-8")
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "OLLAMA_HOST": simulator_url}
    with StdioPeer(*_OPTIONS, command=program(), folder=folder, env={**environment(), **home}) as peer:
        peer.handshake()
        listed = peer.ask(request("list", "tools/list"))["result"]["tools"]
        yield FuzzedServer(peer, {tool["name"]: tool for tool in listed})
        assert peer.process.poll() is None, "it crashed"
        peer.close_stdin()
        assert peer.wait() == 0
        log = "\n".join(peer.stderr)
        assert "Traceback" not in log and "failed unexpectedly" not in log, log


@pytest.fixture(scope="session")
def http(simulator_url: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[FuzzedHttp]:
    """One server over streamable HTTP for all tests."""
    folder = tmp_path_factory.mktemp("fuzzed")
    options = (*_OPTIONS, "--transport", "http", "--port", "0")
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "OLLAMA_HOST": simulator_url}
    with StdioPeer(*options, command=program(), folder=folder, env={**environment(), **home}) as process:
        url = next(line for line in iter(process.next_line, "") if "listens at" in line).split()[-1]
        yield FuzzedHttp(urlsplit(url).port or 0, process.stderr)
        assert process.process.poll() is None, "it crashed"
        process.process.terminate()
        assert process.wait() == 0
        assert "Traceback" not in "".join(process.stderr), process.stderr
