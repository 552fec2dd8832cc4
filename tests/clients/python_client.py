"""An older MCP SDK at work: `python_client.py TRANSPORT TARGET SIMULATOR` prints as JSON what it saw.

It runs in an environment with that SDK; so nothing of it is imported by name, and nothing of this project.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any
from urllib.request import urlopen

mcp: Any = import_module("mcp")
types: Any = import_module("mcp.types")
MODEL = "llama3.2:3b"


async def connect(stack: AsyncExitStack, transport: str, target: Any) -> Any:
    """A session; the target is a command with its environment, or an address."""
    if transport == "stdio":
        command, *arguments = target["command"]
        given = mcp.StdioServerParameters(command=command, args=arguments, env=target["env"])
        opened: Any = mcp.stdio_client(given)
    elif transport == "sse":
        opened = import_module("mcp.client.sse").sse_client(target)
    else:
        opened = import_module("mcp.client.streamable_http").streamablehttp_client(target)
    reader, writer, *_ = await stack.enter_async_context(opened)
    return await stack.enter_async_context(mcp.ClientSession(reader, writer))


async def until(simulator: str, key: str) -> None:
    """Wait until the simulator has something under a key of its state."""

    def wait() -> None:
        while not json.loads(urlopen(f"{simulator}/_simulator/state").read())[key]:
            time.sleep(0.01)

    await asyncio.to_thread(wait)


async def seen(transport: str, target: Any, simulator: str) -> dict[str, Any]:
    """What the client sees of a server over the simulator, whose second answer never comes."""
    async with AsyncExitStack() as stack:
        session = await connect(stack, transport, target)
        begun = await session.initialize()
        tools = (await session.list_tools()).tools
        called = await session.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})
        failed = await session.call_tool("ollama_chat", {"model": "nowhere", "prompt": "Hi"})
        number = session._request_id
        waiting = asyncio.create_task(session.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"}))
        await until(simulator, "in_flight")
        if hasattr(types, "CancelledNotification"):
            params = types.CancelledNotificationParams(requestId=number)
            cancelled = types.CancelledNotification(method="notifications/cancelled", params=params)
            await session.send_notification(types.ClientNotification(cancelled))
            await until(simulator, "disconnects")
            await session.send_ping()
        waiting.cancel()
    # One that cannot cancel leaves.
    await until(simulator, "disconnects")
    return {
        "version": begun.protocolVersion,
        "server": begun.serverInfo.name,
        "tools": [tool.name for tool in tools],
        "text": called.content[0].text,
        "failed": failed.isError,
        "error": failed.content[0].text,
    }


if __name__ == "__main__":
    arguments = (sys.argv[1], json.loads(sys.argv[2]), sys.argv[3])
    sys.stdout.write(json.dumps(asyncio.run(seen(*arguments))))
