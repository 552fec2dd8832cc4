"""Whether the simulator is fast enough to stand behind the server: its calls a second, and the server's through it.

    python -m bench.simulator

Both in one run on one machine, each with 50 calls in flight and answers of a few tokens without delay.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

from bench.clients import ROOT, Caller
from bench.server import over_stdio

IN_FLIGHT = 50
CALLS = 4_000
MODEL = "llama3.2:3b"
BODY = json.dumps({"model": MODEL, "prompt": "hi", "stream": False, "options": {"num_predict": 8}}).encode()


class Direct(Caller):
    """Generates over raw keep-alive connections, one for each call in flight."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        head = f"POST /api/generate HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(BODY)}\r\n\r\n"
        self._request = head.encode() + BODY

    async def call(self) -> None:
        """One generate, read to its last byte."""
        if not self._free:
            self._free.append(await asyncio.open_connection(self._host, self._port))
        reader, writer = self._free.pop()
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        self._free.append((reader, writer))

    async def close(self) -> None:
        """Close the connections."""
        for _, writer in self._free:
            writer.close()


@contextmanager
def simulated() -> Generator[str]:
    """URL of a simulator in a process of its own, without any delay."""
    command = [sys.executable, "-m", "ollama_mcp", "simulate", "--port", "0", "--latency", "0", "--load", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


async def measure(url: str) -> tuple[float, float]:
    """Calls per second straight to the simulator, and of this server through it."""
    direct = Direct(url)
    await direct.per_second(IN_FLIGHT, 200)
    alone = await direct.per_second(IN_FLIGHT, CALLS)
    await direct.close()
    command = shlex.split(f"{sys.executable} {ROOT / 'ollama_mcp_server.py'}")
    async with over_stdio(command, url) as server:
        server.arguments = {"model": MODEL, "prompt": "hi", "options": {"num_predict": 8}}
        await server.per_second(IN_FLIGHT, 200)
        return alone, await server.per_second(IN_FLIGHT, CALLS // 2)


def main() -> None:
    """Print both figures and their ratio."""
    with simulated() as url:
        alone, through = asyncio.run(measure(url))
    print(f"simulator {alone:.0f} calls/s, this server through it {through:.0f} calls/s: {alone / through:.1f} times")


if __name__ == "__main__":
    main()
