"""A small MCP server for the transports to carry."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError


@dataclass
class Journal:
    """What the server's tools and lifespan went through, in order; each entry is also a line on stderr."""

    entries: list[str] = field(default_factory=list[str])
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, entry: str) -> None:
        """Adds an entry and wakes who waits for one."""
        self.entries.append(entry)
        if sys.stderr is not None:  # it is None where the process was started without
            sys.stderr.write(f"{entry}\n")
            sys.stderr.flush()
        self._changed.set()
        self._changed = asyncio.Event()

    def count(self, entry: str) -> int:
        """How often an entry was made."""
        return self.entries.count(entry)

    async def until(self, entry: str, times: int = 1) -> None:
        """Waits until an entry was made that often; fails after 30 s."""
        with anyio.fail_after(30):
            while self.count(entry) < times:
                await self._changed.wait()


def sample_server(journal: Journal) -> MCPServer:
    """A server with a tool for each behaviour that a transport has to bear."""

    @asynccontextmanager
    async def lifespan(_: MCPServer) -> AsyncGenerator[None]:
        journal.note("lifespan open")
        try:
            yield
        finally:
            await asyncio.sleep(0)  # a clean-up that awaits must not be cancelled
            journal.note("lifespan closed")

    server = MCPServer("sample", version="1", log_level="WARNING", lifespan=lifespan)

    async def echo(text: str) -> str:
        """Gives the text back."""
        return text

    async def slow(seconds: float = 30.0, text: str = "slept") -> str:
        """Sleeps, and gives the text back."""
        journal.note("started")
        try:
            await asyncio.sleep(seconds)
        except BaseException:
            journal.note("cancelled")
            raise
        journal.note("finished")
        return text

    async def streaming(context: Context) -> str:
        """Reports progress, then never ends."""
        await context.report_progress(1)
        return await slow()

    async def failing() -> str:
        """Fails."""
        raise ToolError("it failed")

    async def noisy() -> str:
        """Writes to stdout in every way there is."""
        print("printed")  # noqa: T201  # what a careless library does
        os.write(1, b"written to descriptor 1\n")
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", "print('from a child')"], check=True)
        await asyncio.to_thread(subprocess.run, ["cat"], check=True)  # ends at once: stdin is empty for children
        return "quiet"

    async def big(size: int) -> str:
        """A text of that many characters."""
        return "x" * size

    async def counting(context: Context) -> str:
        """Reports progress three times."""
        for step in (1, 2, 3):
            await context.report_progress(step, 3, f"step {step}")
        return "counted"

    async def explain(topic: str) -> str:
        """Explains a topic."""
        return f"Explain {topic}."

    server.prompt()(explain)
    for tool in (echo, slow, streaming, failing, noisy, big, counting):
        server.add_tool(tool, structured_output=False)
    return server
