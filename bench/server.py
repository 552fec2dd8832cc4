"""The cost of the server: time of a call and of the start, memory, and tokens in an agent's context.

    python -m bench.server [--command "python ollama_mcp_server.py"] [--write]

Everything is measured in one run on one machine, along with a bare MCP SDK server and plain httpx, against an Ollama
that answers immediately; only the ratios are comparable between machines.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import shlex
import socket
import statistics
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import start
from bench.clients import ARGUMENTS, ROOT, BenchClient, HttpServer, PlainHttpx, Process, running

_PAGE = ROOT / "docs" / "performance.md"
_STARTS, _CALLS, _IN_FLIGHT = 7, 400, (1, 50, 500)
_BYTES_PER_TOKEN = 4
_BARE = [sys.executable, "-m", "bench.baseline"]


@dataclass(frozen=True)
class Speed:
    """Latency of sequential calls in milliseconds, and calls per second by the number in flight."""

    p50: float
    p95: float
    per_second: dict[int, float]

    def row(self, name: str) -> str:
        """A row of the table."""
        return " | ".join([f"| {name}", f"{self.p50:.2f}", f"{self.p95:.2f}", *self._throughput()]) + " |"

    def _throughput(self) -> list[str]:
        return [f"{self.per_second[each]:.0f}" for each in _IN_FLIGHT]


async def speed_of(client: BenchClient) -> Speed:
    """Measure a client that was started."""
    await client.latencies(_CALLS // 4)  # warm-up
    durations = await client.latencies(_CALLS)
    rates = {each: await client.per_second(each, max(2 * _CALLS, 2 * each)) for each in _IN_FLIGHT}
    return Speed(durations[len(durations) // 2], durations[int(len(durations) * 0.95)], rates)


async def start_times(command: list[str], ollama: str) -> list[float]:
    """Milliseconds from the start of a process to initialize, tools/list and the first answer."""
    process = Process(command, ollama)
    begin = time.perf_counter()
    times: list[float] = []
    await process.start()
    await process.handshake()
    times.append(time.perf_counter() - begin)
    await process.ask("tools/list", {})
    times.append(time.perf_counter() - begin)
    await process.call()
    times.append(time.perf_counter() - begin)
    await process.close()
    return [1000 * each for each in times]


async def starts(commands: dict[str, list[str]], ollama: str) -> list[str]:
    """The table of start times: medians of alternating runs."""
    taken: dict[str, list[list[float]]] = {name: [] for name in commands}
    for _ in range(_STARTS):
        for name, command in commands.items():
            taken[name].append(await start_times(command, ollama))
    lines = ["| from spawn, ms | initialize | tools/list | first answer |", "|---|---|---|---|"]
    for name, runs in taken.items():
        medians = (statistics.median(column) for column in zip(*runs, strict=True))
        lines.append(f"| {name} | " + " | ".join(f"{each:.0f}" for each in medians) + " |")
    return lines


@asynccontextmanager
async def over_stdio(command: list[str], ollama: str) -> AsyncGenerator[Process]:
    """A server over stdio, after its handshake."""
    process = Process(command, ollama)
    await process.start()
    await process.handshake()
    try:
        yield process
    finally:
        await process.close()


async def over_http(command: list[str], ollama: str, port: int) -> Speed:
    """The speed over streamable HTTP."""
    server = HttpServer(Process(command, ollama), port)
    await server.start()
    try:
        return await speed_of(server)
    finally:
        await server.close()


async def sizes(process: Process) -> list[str]:
    """The table of sizes in an agent's context."""
    lines = ["| | bytes | tokens, approx. |", "|---|---|---|"]
    listed = await process.ask("tools/list", {})
    called = await process.ask("tools/call", {"name": "ollama_generate", "arguments": ARGUMENTS})
    for name, result in (("tools/list", listed), ("one result of ollama_generate", called)):
        size = len(json.dumps(result, separators=(",", ":")))
        lines.append(f"| {name} | {size} | {size // _BYTES_PER_TOKEN} |")
    return lines


async def report(command: list[str], http: str, ollama: str) -> str:
    """The complete page."""
    plain = PlainHttpx(ollama)
    speeds = {"plain httpx, no MCP": await speed_of(plain)}
    await plain.close()
    memory: dict[str, tuple[int, int]] = {}
    context: list[str] = []
    servers = {"bare SDK, empty tool": [*_BARE, "plain"], "bare SDK, httpx tool": [*_BARE, "httpx"]}
    servers |= {"our stdio, httpx tool": [*_BARE, "ours"], "this server": command}
    for name, line in servers.items():
        async with over_stdio(line, ollama) as process:
            await process.ask("tools/list", {})
            listed = process.resident_bytes()
            speeds[f"{name}, stdio"] = await speed_of(process)
            memory[name] = (listed, process.resident_bytes())
            if line is command:
                context = await sizes(process)
    port = free_port()
    speeds["bare SDK, httpx tool, HTTP"] = await over_http([*_BARE, "httpx", "http", str(port)], ollama, port)
    port = free_port()
    http_command = [*command, *shlex.split(http.format(port=port))]
    speeds["this server, HTTP"] = await over_http(http_command, ollama, port)
    head = " | ".join(f"{each} in flight" for each in _IN_FLIGHT)
    table = [f"| a call | p50 ms | p95 ms | calls/s, {head} |", "|---|---|---|" + "---|" * len(_IN_FLIGHT)]
    table += [speed.row(name) for name, speed in speeds.items()]
    resident = [f"| {name} | {first / 2**20:.0f} | {last / 2**20:.0f} |" for name, (first, last) in memory.items()]
    parts = [
        ["# Performance", "", f"`python -m bench.server`, Python {platform.python_version()}, {platform.machine()}."],
        await starts(
            {"bare SDK, one tool": [*_BARE, "plain"], "this server, --no-cache": [*command, "--no-cache"]}, ollama
        ),
        await start.lines(command, ollama),
        table,
        ratios(speeds),
        ["| resident, MiB | after tools/list | after the calls |", "|---|---|---|", *resident],
        context,
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def ratios(speeds: dict[str, Speed]) -> list[str]:
    """The ratios of the measurements."""
    ours, bare = speeds["this server, stdio"], speeds["bare SDK, httpx tool, stdio"]
    baseline = speeds["bare SDK, empty tool, stdio"].p50 + speeds["plain httpx, no MCP"].p50
    over_http = speeds["this server, HTTP"].p50 / speeds["bare SDK, httpx tool, HTTP"].p50
    gain = ours.per_second[50] / bare.per_second[50]
    return [
        f"- A call over stdio takes {ours.p50:.2f} ms; an empty SDK tool plus httpx takes {baseline:.2f} ms.",
        f"- Over HTTP it takes {over_http:.2f} times as long as a bare SDK tool with httpx.",
        f"- At 50 in flight it answers {gain:.1f} times as many calls as a bare SDK tool with httpx.",
    ]


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    """Print the tables; with --write also write docs/performance.md."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = f"{sys.executable} ollama_mcp_server.py"
    options.add_argument("--command", default=default, help="command of the server over stdio")
    options.add_argument("--http", default="--transport http --port {port}", help="arguments for serving over HTTP")
    options.add_argument("--write", action="store_true", help=f"write {_PAGE.relative_to(ROOT)}")
    chosen = options.parse_args()
    with running("bench.fake_ollama") as ollama:
        page = asyncio.run(report(shlex.split(chosen.command), chosen.http, ollama))
    print(page)
    if chosen.write:
        Path(_PAGE).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
