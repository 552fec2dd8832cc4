"""Several simulated hosts and a client of one server that uses them all."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mcp import Client
from mcp.types import CallToolResult

from ollama_mcp.simulator import Simulator
from tests.support import connected

MODEL = "llama3.2:3b"


@dataclass
class Several:
    """A client, and the simulators by the names of the hosts."""

    client: Client
    hosts: dict[str, Simulator]

    async def ask(self, tool: str = "ollama_chat", **arguments: Any) -> CallToolResult:
        """Call a tool; chat by default."""
        if tool == "ollama_chat":
            arguments = {"model": MODEL, "prompt": "Hi", **arguments}
        return await self.client.call_tool(tool, arguments)

    def served(self, path: str = "/api/chat") -> dict[str, int]:
        """How many requests to a path each host got."""
        return {
            name: sum(request.path == path for request in simulator.requests) for name, simulator in self.hosts.items()
        }


@asynccontextmanager
async def several(
    names: Iterable[str] = ("a", "b"),
    *,
    models: dict[str, list[str]] | None = None,
    hosts: dict[str, dict[str, Any]] | None = None,
    simulators: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncGenerator[Several]:
    """Hosts of these names, each a simulator over HTTP on loopback.

    Args:
        names: The names.
        models: What each has installed; by default all have the usual four.
        hosts: Further settings of each.
        simulators: Further arguments of all simulators.
        settings: Further settings.
    """
    async with AsyncExitStack() as stack:
        running: dict[str, Simulator] = {}
        for name in names:
            installed = (models or {}).get(name)
            running[name] = await stack.enter_async_context(
                Simulator(version="latest", models=installed, **(simulators or {}))
            )
        configured = {name: {"url": one.url, **(hosts or {}).get(name, {})} for name, one in running.items()}
        client = await stack.enter_async_context(connected("", hosts=configured, **settings))
        yield Several(client, running)
