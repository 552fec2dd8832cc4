"""`ollama-mcp-server` itself, as a process, over each transport, with a simulated Ollama behind it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from mcp.client import Client
from mcp.client.sse import sse_client

from ollama_mcp.simulator import Answer, Simulator
from tests.program import program
from tests.support import texts, until
from tests.transports.wire import HANDSHAKE_VERSIONS, HttpPeer, StdioPeer, call, modern, read_answer, text_of

MODEL = "llama3.2:3b"
LISTENS = "ollama-mcp-server listens at "


@asynccontextmanager
async def serving(
    simulator: Simulator, *options: str, command: list[str] | None = None
) -> AsyncGenerator[tuple[StdioPeer, str]]:
    """The command with these options; gives its process and where it listens."""
    options = ("--ollama", simulator.url, "--port", "0", *options)
    process = await asyncio.to_thread(StdioPeer, *options, command=command or program())
    try:
        first = await asyncio.to_thread(process.next_line)
        assert first.startswith(LISTENS), first
        yield process, first.removeprefix(LISTENS)
        process.process.terminate()
        assert await asyncio.to_thread(process.wait) == 0
    finally:
        await asyncio.to_thread(process.__exit__)


def peer_of(url: str) -> HttpPeer:
    parts = urlsplit(url)
    assert parts.port
    return HttpPeer(parts.port)


def generate(number: int, prompt: str, era: str = "legacy") -> dict[str, object]:
    return call(number, "ollama_generate", era=era, model=MODEL, prompt=prompt, options={"num_predict": 12})


@pytest.mark.parametrize("stateless", [False, True])
async def test_every_handshake_works_over_http(simulator: Simulator, stateless: bool) -> None:
    options = ["--transport", "http", *(["--stateless"] if stateless else [])]
    async with serving(simulator, *options) as (_, url):
        peer = peer_of(url)
        for version in HANDSHAKE_VERSIONS:
            opened = await peer.handshake(version)
            assert opened["protocolVersion"] == version
            assert "images (as base64)" in opened["instructions"]
            assert (peer.session is None) == stateless
            answer = await peer.post(call(1, "ollama_status"), MCP_Protocol_Version=version)
            assert not answer.messages[-1]["result"].get("isError")
        assert "tools" in (await peer.post(modern(1, "tools/list"), "modern")).messages[-1]["result"]
        answer = await peer.post(generate(2, "Say hello", "modern"), "modern")
        assert not answer.messages[-1]["result"]["isError"]


async def test_every_handshake_works_over_stdio(simulator: Simulator) -> None:
    command = [sys.executable, "-m", "ollama_mcp", "--ollama", simulator.url]

    def talk() -> None:
        with StdioPeer("serve", command=command) as process:
            for version in HANDSHAKE_VERSIONS:
                opened = process.handshake(version)
                assert opened["protocolVersion"] == version
                assert "images (give paths)" in opened["instructions"]
                assert not process.ask(generate(1, "Say hello"))["result"]["isError"]
            assert not process.ask(generate(1, "Say hello", "modern"))["result"]["isError"]

    await asyncio.to_thread(talk)


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_the_sdk_client_asks_a_model(simulator: Simulator, transport: str) -> None:
    modes: tuple[Literal["legacy", "auto"], ...] = ("legacy", "auto")
    async with serving(simulator, "--transport", transport) as (process, url):
        for mode in modes:
            simulator.script(MODEL, Answer(text=f"Hello, {mode}."))
            async with Client(sse_client(url) if transport == "sse" else url, mode=mode) as client:
                said = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})
                assert texts(said) == [f"Hello, {mode}."]
                assert (await client.call_tool("ollama_chat", {"model": "nowhere", "prompt": "Hi"})).is_error
        assert not [line for line in process.stderr if "Traceback" in line]


async def test_a_unix_socket_serves_its_owner(simulator: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    async with serving(simulator, "--transport", "http", "--socket", str(path)) as (_, where):
        assert where == str(path)
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await read_answer(reader)).status == 200
        finally:
            writer.close()
    assert not await asyncio.to_thread(path.exists)


async def test_a_vanished_client_frees_the_model(simulator: Simulator) -> None:
    async with serving(simulator, "--transport", "http", "--set", "http.gone_seconds=0.2") as (_, url):
        peer = peer_of(url)
        await peer.handshake()
        for number, era in enumerate(("legacy", "modern"), start=1):
            simulator.script(MODEL, Answer(text="never", hold="gate"))
            writer = await peer.begin(generate(number, "Say never", era), era)
            await until(lambda number=number: _asked(simulator) == number)
            writer.close()
            await until(lambda number=number: len(simulator.disconnects) == number)
        assert {gone.request.path for gone in simulator.disconnects} == {"/api/generate"}


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.slow
async def test_five_hundred_generates_in_flight_are_neither_lost_nor_mixed_up(simulator: Simulator, era: str) -> None:
    # The first call keeps the model's only slot until all others wait behind it.
    simulator.script(MODEL, Answer(text="first", hold="gate"))

    async def one(peer: HttpPeer, number: int) -> None:
        # In letters, since the simulator says words again, not figures.
        mark = "mark" + "".join(chr(ord("a") + int(digit)) for digit in f"{number:03}")
        answer = await peer.post(generate(number, f"Say {mark}", era), era)
        assert mark in text_of(answer.messages[-1])

    # Not by way of another process: what it holds is counted.
    command = [sys.executable, "-m", "ollama_mcp"]
    async with serving(simulator, "--transport", "http", command=command) as (process, url):
        peer = peer_of(url)
        await peer.handshake()
        first = asyncio.create_task(peer.post(generate(1_000, "first", era), era))
        await until(lambda: _asked(simulator) == 1)
        before = _usage(process.process.pid)
        calls = asyncio.gather(*(one(peer, number) for number in range(500)))
        # So many of one model are sent to a host at once (limits.in_flight); the others wait in this server.
        await until(lambda: _asked(simulator) == 256 or calls.done(), 30)
        during = _usage(process.process.pid)
        simulator.release("gate")
        await calls
        assert text_of((await first).messages[-1]) == "first"
        await until(lambda: _usage(process.process.pid)[1] <= before[1] + 200, 10)
        after = _usage(process.process.pid)
    for name, (memory, files) in {"before": before, "500 in flight": during, "after": after}.items():
        print(f"{era}, {name}: {memory / 1e6:.0f} MB resident, {files} open files")  # noqa: T201 - shown by pytest -s
    assert during[1] >= 500 + 256 or not during[1]
    assert during[0] - before[0] < 150e6


def _asked(simulator: Simulator) -> int:
    """How many generates have reached Ollama."""
    return sum(seen.path == "/api/generate" for seen in simulator.requests)


def _usage(process: int) -> tuple[int, int]:
    """Resident bytes and open files of a process; zeros where the system has no /proc."""
    folder = Path(f"/proc/{process}")
    if not folder.exists():
        return 0, 0
    pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list((folder / "fd").iterdir()))
