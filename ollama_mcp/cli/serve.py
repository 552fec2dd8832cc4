"""`ollama-mcp-server [serve]`: serve MCP clients."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from typing import TYPE_CHECKING, Literal

from ollama_mcp.cli.options import check_stdio_options, cloud_key, load_from_options

if TYPE_CHECKING:
    from ollama_mcp.front import Serve
    from ollama_mcp.server.app import OllamaServer
    from ollama_mcp.settings import Settings

_FORCE_SECONDS = 10.0
"""From the first sign that the server is to stop to the end of its process, whatever hangs."""


def serve(options: argparse.Namespace) -> int:
    """Serve until the client disconnects or a signal comes."""
    settings, run = _load(options)
    if settings.cache and settings.transport == "stdio":
        from ollama_mcp.cli.warm import keep_later

        keep_later(options.command_line)
    return run(b"", 0)


def prepare(options: argparse.Namespace) -> Serve:
    """Load all that serving needs. What is returned serves, and may be given what came before on stdin.

    Raises:
        SettingsError: A setting is unknown or wrong.
        InvalidArgument: stdin or stdout is closed.
    """
    return _load(options)[1]


def _load(options: argparse.Namespace) -> tuple[Settings, Serve]:
    gc.disable()  # collecting during the imports takes a tenth of a start; `import_sdk` enables it again
    loaded = load_from_options(options)
    settings = loaded.settings
    if settings.transport == "stdio":
        check_stdio_options(loaded)
        if sys.stdin.isatty():
            _greet()
        from ollama_mcp.server.transports.pipes import claim_stdio

        # Before anything is imported that might print: a library, or a user's tool file.
        claim_stdio()
    # Before the SDK sets up logging of its own. On stderr, since stdout belongs to the protocol.
    line_format = "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=settings.log_level.upper(), stream=sys.stderr, format=line_format)
    if settings.log_format == "json":
        from ollama_mcp.cli.json_log import log_as_json

        log_as_json()
    from ollama_mcp.server.sdk import import_sdk

    import_sdk(over_http=settings.transport != "stdio")
    import anyio

    from ollama_mcp.server.app import OllamaServer

    server = OllamaServer(settings, api_key=cloud_key(), allowed=loaded.config_file)
    from ollama_mcp.server.transports.stdio import run_stdio

    # Over HTTP it is asyncio's own: at the limit of open files libuv closes connections that could be accepted later.
    loop = {"use_uvloop": settings.transport == "stdio" and _has_uvloop()}

    def run(received: bytes, answered: int) -> int:
        if settings.transport == "stdio":
            anyio.run(run_stdio, server, received, answered, _FORCE_SECONDS, backend_options=loop)
        else:
            anyio.run(_serve_http, server, settings.transport, settings)
        return 0

    return settings, run


def _has_uvloop() -> bool:
    """Whether the faster event loop is there: it is installed where there is a wheel of it."""
    try:
        import uvloop
    except ImportError:
        return False
    return uvloop is not None


def _greet() -> None:
    """Tell a person who started it by hand why nothing happens."""
    from ollama_mcp._command import command

    print(
        "ollama-mcp-server waits for an MCP client on stdin: hosts such as Claude Code start it themselves.\n"
        f"See it work: {command('demo')}\n"
        f"All commands: {command('--help')}\n"
        "Ctrl-C ends it.",
        file=sys.stderr,
    )


async def _serve_http(server: OllamaServer, kind: Literal["http", "sse"], settings: Settings) -> None:
    from ollama_mcp.server.auth.opening import automatic_token_file, open_authenticator
    from ollama_mcp.server.transports.http import serve_http
    from ollama_mcp.server.transports.routes import http_routes

    http, auth = settings.http, open_authenticator(settings)
    server.jobs.authenticator = auth
    if auth is not None:
        auth.accounts.keep_in(server.store, settings)
    if settings.auth.token:
        # Where it is, not what it is: hosts write stderr to log files.
        print(f"ollama-mcp-server has its token in {automatic_token_file()}", file=sys.stderr)
    await serve_http(
        server,
        kind=kind,
        host=http.host,
        port=http.port,
        uds=http.socket or None,
        stateless=http.stateless,
        settings=http,
        ready=server.hosts.ready,
        auth=auth,
        routes=http_routes(server),
        force_seconds=_FORCE_SECONDS,
        listening=lambda where: print(f"ollama-mcp-server listens at {where}", file=sys.stderr),
    )
