"""Servers as processes of their own over stdio, which can be killed, stopped and started again on one store."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from mcp.types import CallToolResult

from ollama_mcp.simulator import Simulator
from tests.cli.support import environment
from tests.jobs.support import JOB
from tests.support import data

_CLIENT = {"name": "raw", "version": "1"}


class ServerProcess:
    """A server and its one client."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._ids = count(1)

    def send(self, method: str, **params: Any) -> int:
        """Send a request; returns its id."""
        number = next(self._ids)
        self._write({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return number

    def notify(self, method: str) -> None:
        """Send a notification."""
        self._write({"jsonrpc": "2.0", "method": method})

    def _write(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def answer(self, number: int) -> dict[str, Any]:
        """The result of a request."""
        assert self.process.stdout is not None
        while line := await asyncio.wait_for(self.process.stdout.readline(), 60):
            message = json.loads(line)
            if message.get("id") == number:
                return message["result"]
        raise AssertionError("the server ended")

    async def call(self, tool: str, **arguments: Any) -> CallToolResult:
        """Call a tool."""
        return CallToolResult.model_validate(await self.answer(self.send("tools/call", name=tool, arguments=arguments)))

    async def row(self, job: str) -> dict[str, Any]:
        """What the list says of a job."""
        rows = data(await self.call(JOB))["jobs"]
        (row,) = [row for row in rows if row["id"] == job]
        return row

    async def ended(self, job: str, seconds: float = 60) -> str:
        """The state of a job once it has ended."""
        deadline = time.monotonic() + seconds
        while (state := (await self.row(job))["state"]) == "running":
            assert time.monotonic() < deadline, "still running"
            await asyncio.sleep(0.05)
        return state

    async def kill(self) -> None:
        """End it as the system does when memory runs out."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def started(
    simulator: Simulator, folder: Path, *arguments: str, lists: bool = True, **settings: Any
) -> AsyncGenerator[ServerProcess]:
    """A server that works in a folder, with its store there; keywords are settings by their whole names."""
    chosen = {
        "store.path": str(folder / "store.sqlite3"),
        **{name.replace("__", "."): v for name, v in settings.items()},
    }
    sets = [part for name, value in chosen.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ollama_mcp",
        *sets,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=folder,
        env=environment(OLLAMA_HOST=simulator.url, XDG_DATA_HOME=str(folder / "data")),
        limit=1 << 26,
    )
    server = ServerProcess(process)
    try:
        await server.answer(
            server.send("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=_CLIENT)
        )
        server.notify("notifications/initialized")
        if lists:
            await server.answer(server.send("tools/list"))
        yield server
    finally:
        if process.returncode is None:
            if os.name != "nt":
                process.send_signal(signal.SIGCONT)
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), 15)
            except TimeoutError:
                process.kill()
                await process.wait()
