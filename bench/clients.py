"""Raw clients whose own cost is small beside what they measure."""

from __future__ import annotations

import asyncio
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
ARGUMENTS: dict[str, Any] = {"model": "m", "prompt": "hi"}
_META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}

Message = dict[str, Any]


class Caller(ABC):
    """Something that can be called many times at once."""

    @abstractmethod
    async def call(self) -> None:
        """One call, from the question to the answer."""

    async def latencies(self, calls: int) -> list[float]:
        """Milliseconds of each of so many calls, one after the other, sorted."""
        spent: list[float] = []
        for _ in range(calls):
            start = time.perf_counter()
            await self.call()
            spent.append(1000 * (time.perf_counter() - start))
        return sorted(spent)

    async def per_second(self, in_flight: int, calls: int) -> float:
        """Calls per second with so many in flight."""
        left: Iterator[int] = iter(range(calls))

        async def work() -> None:
            for _ in left:
                await self.call()

        start = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        return calls / (time.perf_counter() - start)

    @abstractmethod
    async def close(self) -> None:
        """Ends the connection or the process."""


class PlainHttpx(Caller):
    """The request that a tool makes, by httpx, without any MCP."""

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.AsyncClient(base_url=url, verify=False, timeout=60, limits=limits)

    async def call(self) -> None:
        answer = await self._client.post("/api/generate", json={**ARGUMENTS, "stream": False})
        assert answer.json()["response"] == "ok"

    async def close(self) -> None:
        await self._client.aclose()


class Process(Caller):
    """A server process; with `stdio` it is called over its pipes."""

    def __init__(self, command: list[str], ollama: str) -> None:
        self.arguments = ARGUMENTS
        self._command = command
        self._environment = {**os.environ, "OLLAMA_HOST": ollama, "PYTHONPATH": str(ROOT)}
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Spawns it."""
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.DEVNULL,
            env=self._environment,
            cwd=ROOT,
            limit=2**26,
        )
        assert self._process.stdin is not None
        self._stdin = self._process.stdin
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            message = json.loads(line)
            if (future := self._waiting.pop(message.get("id"), None)) is not None:
                future.set_result(message)
        for future in self._waiting.values():
            future.set_exception(RuntimeError(f"{self._command} ended"))

    async def ask(self, method: str, params: Message) -> Message:
        """One request over its pipes; gives the result."""
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self._stdin.write(json.dumps(message).encode() + b"\n")
        answer = await future
        if "error" in answer or answer["result"].get("isError"):
            raise RuntimeError(str(answer)[:500])
        return answer["result"]

    async def handshake(self) -> Message:
        """Opens a session over its pipes."""
        client = {"name": "bench", "version": "1"}
        params: Message = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
        result = await self.ask("initialize", params)
        self._stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        return result

    async def call(self) -> None:
        await self.ask("tools/call", {"name": "ollama_generate", "arguments": self.arguments})

    def resident_bytes(self) -> int:
        """Memory of the process now; 0 where the system does not tell."""
        status = Path(f"/proc/{self._process.pid}/status")
        if not status.exists():
            return 0
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    async def close(self) -> None:
        self._stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 1)
        except TimeoutError:
            self._process.terminate()
            await self._process.wait()
        if self._reading is not None:
            await self._reading


class HttpServer(Caller):
    """A server process called over streamable HTTP; each call in flight has a kept connection."""

    def __init__(self, process: Process, port: int) -> None:
        self._process = process
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        params: Message = {"name": "ollama_generate", "arguments": ARGUMENTS, "_meta": _META}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n"
            "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: ollama_generate\r\n\r\n"
        )
        self._request = head.encode() + body

    async def start(self) -> None:
        """Spawns it and waits until it listens."""
        await self._process.start()
        async with asyncio.timeout(30):
            while True:
                try:
                    self._free.append(await asyncio.open_connection("127.0.0.1", self._port))
                    return
                except OSError:
                    await asyncio.sleep(0.05)

    async def call(self) -> None:
        pair = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
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
        self._free.append(pair)

    async def close(self) -> None:
        for _, writer in self._free:
            writer.close()
        await self._process.close()
