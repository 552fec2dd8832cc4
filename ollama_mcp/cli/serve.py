"""`ollama-mcp-server [serve]`: serve MCP clients."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from typing import TYPE_CHECKING, Literal

from ollama_mcp.cli.settings import cloud_key, load

if TYPE_CHECKING:
    from ollama_mcp.server.app import OllamaServer
    from ollama_mcp.settings.http import HttpSettings


def run(options: argparse.Namespace) -> int:
    """Serve until the client goes or a signal comes."""
    gc.disable()
    loaded = load(options)
    settings = loaded.settings
    if settings.transport == "stdio":
        from ollama_mcp.server.transports.pipes import claim_stdio

        # Before anything is imported that might print: a user's tool file, or a library.
        claim_stdio()
    # Before the SDK sets up logging of its own; stdout belongs to the protocol.
    line = "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=settings.log_level.upper(), stream=sys.stderr, format=line)
    from ollama_mcp.server.sdk import import_sdk

    import_sdk()
    import anyio

    from ollama_mcp.server.app import OllamaServer

    server = OllamaServer(settings, api_key=cloud_key(), allowed=loaded.config_file)
    if settings.transport == "stdio":
        from ollama_mcp.server.transports.stdio import run_stdio

        anyio.run(run_stdio, server)
    else:
        anyio.run(_serve_http, server, settings.transport, settings.http)
    return 0


async def _serve_http(server: OllamaServer, kind: Literal["http", "sse"], http: HttpSettings) -> None:
    from ollama_mcp.server.transports.http import serve_http

    await serve_http(
        server,
        kind=kind,
        host=http.host,
        port=http.port,
        uds=http.socket or None,
        stateless=http.stateless,
        settings=http,
        ready=server.hosts.ready,
        listening=lambda where: print(f"ollama-mcp-server listens at {where}", file=sys.stderr),
    )
