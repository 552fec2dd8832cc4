"""The time of a generate over stdio and calls per second, beside Node servers from npm, the bare SDK and plain httpx.

    python -m bench.calls [--rounds 5] [--command "python ollama_mcp_server.py"]

The Ollama answers at once, in 34 lines where it is asked to stream, as this server asks where progress is watched or
the model was not quick so far. All are measured in turns, in one run; only the ratios of the medians say something. CPU
is that of the server process for a call, which says more on a busy machine. Each request has a prompt of its own, and
the stand-in counts them, so that a server that keeps answers, or asks for none, is left out and named.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import httpx

from bench.clients import BenchClient, PlainHttpx, Process, running
from bench.start import PEERS, installed_peers

_LINES, _CALLS, _IN_FLIGHT = 34, 300, 50
_BARE = [sys.executable, "-m", "bench.baseline"]
_OURS, _EMPTY, _SDK, _HTTPX = "this server", "bare SDK, empty tool", "bare SDK, httpx tool", "plain httpx, no MCP"
_WATCHED = "this server, streamed, since progress is asked for"
_PROMPTS = count(1)
# The names that servers have for it, and for its model.
_TOOLS, _MODELS = ("ollama_generate", "generate", "run"), ("model", "name")


class Generator(Process):
    """A server over stdio that is asked to generate, each time with another prompt.

    Args:
        command: As of Process.
        ollama: As of Process.
        watched: Whether each call asks for progress, so that its answer has to be streamed.
    """

    def __init__(self, command: list[str], ollama: str, *, watched: bool = False) -> None:
        super().__init__(command, ollama)
        self._watched = watched

    async def open(self) -> None:
        """Start the process, and find out what its tool and its arguments are called.

        Raises:
            RuntimeError: It has no such tool.
        """
        await self.start()
        await self.handshake()
        tools = {tool["name"]: tool for tool in (await self.ask("tools/list", {}))["tools"]}
        self._tool = next((name for name in _TOOLS if name in tools), "")
        if not self._tool:
            raise RuntimeError(f"no tool that generates: {', '.join(tools)}")
        properties = tools[self._tool]["inputSchema"]["properties"]
        self._model = next(name for name in _MODELS if name in properties)

    async def call(self) -> None:
        number = next(_PROMPTS)
        arguments = {self._model: "m", "prompt": f"prompt {number}"}
        meta = {"_meta": {"progressToken": number}} if self._watched else {}
        await self.ask("tools/call", {"name": self._tool, "arguments": arguments, **meta})


class Httpx(PlainHttpx):
    """The same request, made with httpx."""

    async def call(self) -> None:
        body = {"model": "m", "prompt": f"prompt {next(_PROMPTS)}", "stream": False}
        assert (await self._client.post("/api/generate", json=body)).json()["response"]


async def asked(url: str) -> int:
    """How many different requests the stand-in has had."""
    async with httpx.AsyncClient() as client:
        return (await client.get(f"{url}/asked")).json()["count"]


async def measure(command: list[str], peers: dict[str, list[str]], url: str, rounds: int) -> list[str]:
    """The lines of the table, and of what was left out."""
    servers = {_OURS: command, _WATCHED: command, **peers, _EMPTY: [*_BARE, "plain"], _SDK: [*_BARE, "httpx"]}
    left_out: list[str] = []
    p50: dict[str, list[float]] = {}
    rate: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        clients: dict[str, BenchClient] = {_HTTPX: Httpx(url)}
        stack.push_async_callback(clients[_HTTPX].close)
        for name, line in servers.items():
            clients[name] = client = Generator(line, url, watched=name == _WATCHED)
            stack.push_async_callback(client.close)
            await client.open()
        for name, client in list(clients.items()):
            before = await asked(url)
            await client.latencies(_CALLS // 4)  # warm-up
            seen = await asked(url) - before
            if seen != _CALLS // 4 and name != _EMPTY:
                left_out.append(f"{name} is left out: for {_CALLS // 4} calls it made {seen} different requests.")
                del clients[name]
        for _ in range(rounds):
            for name, client in clients.items():
                before, used = await asked(url), _cpu_seconds(client)
                durations = await client.latencies(_CALLS)
                p50.setdefault(name, []).append(durations[len(durations) // 2])
                rate.setdefault(name, []).append(await client.per_second(_IN_FLIGHT, 2 * _CALLS))
                cpu.setdefault(name, []).append(1000 * (_cpu_seconds(client) - used) / (3 * _CALLS))
                assert name == _EMPTY or await asked(url) - before == 3 * _CALLS, f"{name} kept answers"
    return [*table(p50, rate, cpu), *left_out]


def _cpu_seconds(client: BenchClient) -> float:
    return client.cpu_seconds() if isinstance(client, Process) else 0.0


def table(p50: dict[str, list[float]], rate: dict[str, list[float]], cpu: dict[str, list[float]]) -> list[str]:
    """Medians of the rounds, and those of the rounds' ratios to this server's."""
    rows = [
        f"| generate, {_LINES} lines | p50 ms | calls/s, {_IN_FLIGHT} in flight | CPU ms | ours by its p50 | "
        "by its calls/s | by its CPU |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in p50:
        times, rates = statistics.median(p50[name]), statistics.median(rate[name])
        rows.append(
            f"| {name} | {times:.2f} | {rates:.0f} | {statistics.median(cpu[name]):.2f} | "
            f"{_ratio(p50[_OURS], p50[name])} | {_ratio(rate[_OURS], rate[name])} | {_ratio(cpu[_OURS], cpu[name])} |"
        )
    return rows


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    ratios = [one / other for one, other in zip(ours, theirs, strict=True) if other]
    return f"{statistics.median(ratios):.2f}" if ratios else "-"


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--command", default=f"{sys.executable} ollama_mcp_server.py", help="command of the server")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name, running("bench.fake_ollama", "--tokens", str(_LINES)) as url:
        peers = installed_peers(Path(name))
        print("\n".join(asyncio.run(measure(shlex.split(chosen.command), peers, url, chosen.rounds))))
        missing = [peer for peer in PEERS if f"npm {peer}" not in peers]
        if missing:
            print(f"Not measured: {', '.join(missing)}. npm is absent, or could not install them.")


if __name__ == "__main__":
    main()
