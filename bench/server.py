"""What the server adds to a call, to the start, and to an agent's context.

    python -m bench.server [--command "python ollama_mcp_server.py"] [--write]

Everything is measured in one run on one machine, beside the bare MCP SDK and plain httpx, against an Ollama that
answers at once; only the ratios mean something elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import shlex
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.clients import ARGUMENTS, ROOT, Caller, HttpServer, PlainHttpx, Process

_PAGE = ROOT / "docs" / "performance.md"
_STARTS, _CALLS, _IN_FLIGHT = 7, 400, (1, 50, 500)
_BYTES_PER_TOKEN = 4
_BARE = [sys.executable, "-m", "bench.bare"]


@dataclass(frozen=True)
class Speed:
    """Latency of calls one by one, in milliseconds, and calls per second by how many are in flight."""

    p50: float
    p95: float
    per_second: dict[int, float]

    def row(self, name: str) -> str:
        """A line of the table."""
        return " | ".join([f"| {name}", f"{self.p50:.2f}", f"{self.p95:.2f}", *self._throughput()]) + " |"

    def _throughput(self) -> list[str]:
        return [f"{self.per_second[each]:.0f}" for each in _IN_FLIGHT]


async def speed_of(caller: Caller) -> Speed:
    """Measures a caller that has been started."""
    await caller.latencies(_CALLS // 4)  # warm
    spent = await caller.latencies(_CALLS)
    rates = {each: await caller.per_second(each, max(2 * _CALLS, 2 * each)) for each in _IN_FLIGHT}
    return Speed(spent[len(spent) // 2], spent[int(len(spent) * 0.95)], rates)


async def start_times(command: list[str], ollama: str) -> list[float]:
    """Milliseconds from spawning to initialize, tools/list and the first answer."""
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
    """The table of start times: medians, the commands taking turns."""
    taken: dict[str, list[list[float]]] = {name: [] for name in commands}
    for _ in range(_STARTS):
        for name, command in commands.items():
            taken[name].append(await start_times(command, ollama))
    lines = ["| spawn to, ms | initialize | tools/list | first answer |", "|---|---|---|---|"]
    for name, runs in taken.items():
        medians = (statistics.median(column) for column in zip(*runs, strict=True))
        lines.append(f"| {name} | " + " | ".join(f"{each:.0f}" for each in medians) + " |")
    return lines


@asynccontextmanager
async def over_stdio(command: list[str], ollama: str) -> AsyncGenerator[Process]:
    """A server, past its handshake."""
    process = Process(command, ollama)
    await process.start()
    await process.handshake()
    try:
        yield process
    finally:
        await process.close()


async def over_http(command: list[str], ollama: str, port: int) -> Speed:
    """Speed over streamable HTTP."""
    server = HttpServer(Process(command, ollama), port)
    await server.start()
    try:
        return await speed_of(server)
    finally:
        await server.close()


async def sizes(process: Process) -> list[str]:
    """The table of what an agent's context pays."""
    lines = ["| | bytes | tokens, about |", "|---|---|---|"]
    listed = await process.ask("tools/list", {})
    called = await process.ask("tools/call", {"name": "ollama_generate", "arguments": ARGUMENTS})
    for name, result in (("tools/list", listed), ("one result of ollama_generate", called)):
        size = len(json.dumps(result, separators=(",", ":")))
        lines.append(f"| {name} | {size} | {size // _BYTES_PER_TOKEN} |")
    return lines


async def report(command: list[str], http: str, ollama: str) -> str:
    """The whole page."""
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
        await starts({"bare SDK, one tool": [*_BARE, "plain"], "this server": command}, ollama),
        table,
        verdicts(speeds),
        ["| resident, MiB | after tools/list | after the calls |", "|---|---|---|", *resident],
        context,
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def verdicts(speeds: dict[str, Speed]) -> list[str]:
    """The promises, beside what was measured."""
    ours, bare = speeds["this server, stdio"], speeds["bare SDK, httpx tool, stdio"]
    allowed = speeds["bare SDK, empty tool, stdio"].p50 + speeds["plain httpx, no MCP"].p50
    over_http = speeds["this server, HTTP"].p50 / speeds["bare SDK, httpx tool, HTTP"].p50
    gain = ours.per_second[50] / bare.per_second[50]
    return [
        f"- A call over stdio takes {ours.p50:.2f} ms; an empty SDK tool and httpx take {allowed:.2f} ms.",
        f"- Over HTTP it takes {over_http:.2f} times what a bare SDK tool by httpx takes there.",
        f"- At 50 in flight it answers {gain:.1f} times as many calls as a bare SDK tool by httpx.",
    ]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def standin() -> Generator[str]:
    """URL of an Ollama that answers at once, in a process of its own."""
    command = [sys.executable, "-m", "bench.standin"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


def main() -> None:
    """Prints the tables, and writes them to docs/performance.md when asked to."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--command", default=f"{sys.executable} ollama_mcp_server.py", help="the server over stdio")
    options.add_argument("--http", default="--transport http --port {port}", help="what makes it serve over HTTP")
    options.add_argument("--write", action="store_true", help=f"write {_PAGE.relative_to(ROOT)}")
    chosen = options.parse_args()
    with standin() as ollama:
        page = asyncio.run(report(shlex.split(chosen.command), chosen.http, ollama))
    print(page)
    if chosen.write:
        Path(_PAGE).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
