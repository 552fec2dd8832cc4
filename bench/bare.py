"""What the server is measured against: the MCP SDK with one tool, on the SDK's own transports.

`python -m bench.bare plain|httpx|ours [http PORT]`: a tool that does nothing; one that asks Ollama by plain httpx; the
same over this project's stdio transport.
"""

from __future__ import annotations

import asyncio
import os
import sys

import httpx
from mcp.server import MCPServer

server = MCPServer("bare", version="1", log_level="ERROR")
_client = httpx.AsyncClient(base_url=os.environ.get("OLLAMA_HOST", ""), verify=False, timeout=60)


async def plain(model: str, prompt: str) -> str:
    """Answers without asking anybody."""
    return "ok"


async def asking(model: str, prompt: str) -> str:
    """Asks Ollama."""
    answer = await _client.post("/api/generate", json={"model": model, "prompt": prompt, "stream": False})
    return answer.json()["response"]


def main(kind: str, *transport: str) -> None:
    """Serves until the client ends."""
    server.add_tool(plain if kind == "plain" else asking, name="ollama_generate", structured_output=False)
    if kind == "ours":
        from ollama_mcp.server.transports.stdio import run_stdio

        asyncio.run(run_stdio(server))
    elif transport:
        server.run("streamable-http", port=int(transport[1]), stateless_http=True)
    else:
        server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
