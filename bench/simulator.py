"""The server_rateput of the simulator, and of the server with it, to tell whether the simulator is the bottleneck.

    python -m bench.simulator

Both in one run on one machine, with 50 calls in flight and answers of a few tokens without delay.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

from bench.clients import ROOT, BenchClient, running
from bench.server import over_stdio

IN_FLIGHT = 50
CALLS = 4_000
MODEL = "llama3.2:3b"
BODY = json.dumps({"model": MODEL, "prompt": "hi", "stream": False, "options": {"num_predict": 8}}).encode()


class RawHttp(BenchClient):
    """Calls generate over raw keep-alive connections, one for each call in flight."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        head = f"POST /api/generate HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(BODY)}\r\n\r\n"
        self._request = head.encode() + BODY

    async def call(self) -> None:
        """Call generate and read the complete response."""
        if not self._idle:
            self._idle.append(await asyncio.open_connection(self._host, self._port))
        reader, writer = self._idle.pop()
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        self._idle.append((reader, writer))

    async def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            writer.close()


def simulated() -> AbstractContextManager[str]:
    """The URL of a simulator without delays, in a process of its own."""
    return running("ollama_mcp", "simulate", "--port", "0", "--latency", "0", "--load", "0")


async def measure(url: str) -> tuple[float, float]:
    """Calls per second to the simulator directly, and through this server."""
    direct = RawHttp(url)
    await direct.per_second(IN_FLIGHT, 200)
    direct_rate = await direct.per_second(IN_FLIGHT, CALLS)
    await direct.close()
    command = shlex.split(f"{sys.executable} {ROOT / 'ollama_mcp_server.py'}")
    async with over_stdio(command, url) as server:
        server.arguments = {"model": MODEL, "prompt": "hi", "options": {"num_predict": 8}}
        await server.per_second(IN_FLIGHT, 200)
        return direct_rate, await server.per_second(IN_FLIGHT, CALLS // 2)


def main() -> None:
    """Print both figures and their ratio."""
    with simulated() as url:
        direct_rate, server_rate = asyncio.run(measure(url))
    rates = f"simulator {direct_rate:.0f} calls/s, this server through it {server_rate:.0f} calls/s"
    print(f"{rates}: {direct_rate / server_rate:.1f} times")


if __name__ == "__main__":
    main()
