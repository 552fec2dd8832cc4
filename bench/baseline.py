"""The baseline of the measurements: an MCP SDK server with one tool.

`python -m bench.baseline plain|httpx|ours [http PORT]`: a tool that does nothing; a tool that calls Ollama with httpx;
the same over the stdio transport of this project.
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
    """Answer without calling Ollama."""
    return "ok"


async def ask_ollama(model: str, prompt: str) -> str:
    """Answer with a response of Ollama."""
    answer = await _client.post("/api/generate", json={"model": model, "prompt": prompt, "stream": False})
    return answer.json()["response"]


def main(kind: str, *transport: str) -> None:
    """Serve until the client disconnects."""
    server.add_tool(plain if kind == "plain" else ask_ollama, name="ollama_generate", structured_output=False)
    if kind == "ours":
        from ollama_mcp.server.transports.stdio import run_stdio

        asyncio.run(run_stdio(server))
    elif transport:
        server.run("streamable-http", port=int(transport[1]), stateless_http=True)
    else:
        server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
