"""Clients with little overhead, for the measurements, and the processes that they measure."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
ARGUMENTS: dict[str, Any] = {"model": "m", "prompt": "hi"}
META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}

Message = dict[str, Any]


@contextmanager
def running(module: str, *arguments: str) -> Generator[str]:
    """Run a module that serves an Ollama as a process of its own; yields the URL that it prints first."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


class BenchClient(ABC):
    """A client that makes many calls in parallel."""

    @abstractmethod
    async def call(self) -> None:
        """Make one call and wait for its result."""

    async def latencies(self, calls: int) -> list[float]:
        """Sorted durations of a number of sequential calls, in milliseconds."""
        durations: list[float] = []
        for _ in range(calls):
            start = time.perf_counter()
            await self.call()
            durations.append(1000 * (time.perf_counter() - start))
        return sorted(durations)

    async def per_second(self, in_flight: int, calls: int) -> float:
        """Calls per second at a number of calls in flight."""
        remaining: Iterator[int] = iter(range(calls))

        async def work() -> None:
            for _ in remaining:
                await self.call()

        start = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        return calls / (time.perf_counter() - start)

    @abstractmethod
    async def close(self) -> None:
        """Close the connection or end the process."""


class PlainHttpx(BenchClient):
    """The request of a tool, made with httpx and without MCP."""

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.AsyncClient(base_url=url, verify=False, timeout=60, limits=limits)

    async def call(self) -> None:
        answer = await self._client.post("/api/generate", json={**ARGUMENTS, "stream": False})
        assert answer.json()["response"] == "ok"

    async def close(self) -> None:
        await self._client.aclose()


class Process(BenchClient):
    """A server process that is called over stdio.

    Args:
        command: Command line of the process.
        ollama: URL of its Ollama.
        folder: Working folder of the process.
    """

    def __init__(self, command: list[str], ollama: str, folder: Path = ROOT) -> None:
        self.arguments = ARGUMENTS
        self._folder = folder
        self._command = command
        # A store of its own, so that nothing of a user's server is read or changed. Not by a setting, which would make
        # it another start for the kept answers.
        self._data = mkdtemp(prefix="ollama-mcp-bench-")
        self._environment = {
            **os.environ,
            "OLLAMA_HOST": ollama,
            "PYTHONPATH": str(ROOT),
            "XDG_DATA_HOME": self._data,
        }
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._reading: asyncio.Task[None] | None = None
        self.progress: Counter[str] = Counter()

    async def start(self) -> None:
        """Start the process."""
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.DEVNULL,
            env=self._environment,
            cwd=self._folder,
            limit=2**26,
        )
        assert self._process.stdin is not None
        self._stdin = self._process.stdin
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            message = json.loads(line)
            if message.get("method") == "notifications/progress":
                self.progress[message["params"]["progressToken"]] += 1
            elif (future := self._waiting.pop(message.get("id"), None)) is not None and not future.done():
                # Who was cancelled just now is still waiting here.
                future.set_result(message)
        for future in self._waiting.values():
            future.set_exception(RuntimeError(f"{self._command} ended"))

    async def ask(self, method: str, params: Message) -> Message:
        """Send one request and return its result; who is cancelled meanwhile says so to the server."""
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self._stdin.write(json.dumps(message).encode() + b"\n")
        try:
            answer = await future
        except asyncio.CancelledError:
            if self._waiting.pop(number, None) is not None:
                gone = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}}
                self._stdin.write(json.dumps(gone).encode() + b"\n")
            raise
        if "error" in answer or answer["result"].get("isError"):
            raise RuntimeError(str(answer)[:1000])
        return answer["result"]

    async def handshake(self) -> Message:
        """Open a session."""
        client = {"name": "bench", "version": "1"}
        params: Message = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
        result = await self.ask("initialize", params)
        self._stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        return result

    async def call(self) -> None:
        await self.ask("tools/call", {"name": "ollama_generate", "arguments": self.arguments})

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def resident_bytes(self) -> int:
        """Resident memory of the process; 0 if the system has no /proc."""
        status = Path(f"/proc/{self._process.pid}/status")
        if not status.exists():
            return 0
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def cpu_seconds(self) -> float:
        """CPU time of the process and its threads; 0 if the system has no /proc."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def sockets(self) -> int:
        """Sockets that the process has open; 0 if the system has no /proc."""
        return sum(link.startswith("socket:") for link in _links(Path(f"/proc/{self._process.pid}/fd")))

    async def close(self) -> None:
        self._stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 1)
        except TimeoutError:
            self._process.terminate()
            await self._process.wait()
        if self._reading is not None:
            await self._reading
        shutil.rmtree(self._data, ignore_errors=True)


def _links(folder: Path) -> Iterator[str]:
    for entry in folder.iterdir() if folder.exists() else ():
        with suppress(OSError):  # it was closed meanwhile
            yield os.readlink(entry)


class HttpServer(BenchClient):
    """A server process that is called over streamable HTTP, with a persistent connection for each call in flight."""

    def __init__(self, process: Process, port: int) -> None:
        self._process = process
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        params: Message = {"name": "ollama_generate", "arguments": ARGUMENTS, "_meta": META}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n"
            "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: ollama_generate\r\n\r\n"
        )
        self._request = head.encode() + body

    async def start(self) -> None:
        """Start the process and wait until it listens."""
        await self._process.start()
        async with asyncio.timeout(30):
            while True:
                try:
                    self._idle.append(await asyncio.open_connection("127.0.0.1", self._port))
                    return
                except OSError:
                    await asyncio.sleep(0.05)

    async def call(self) -> None:
        pair = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = pair
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"content-length:" in head:
            body = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        else:
            body = b""
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size + 2)
            await reader.readline()
        if b'"result"' not in body or b'"isError":true' in body:
            raise RuntimeError(body[:500].decode())
        self._idle.append(pair)

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        await self._process.close()
