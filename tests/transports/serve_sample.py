"""Serves the sample server over a transport of its own process: `stdio`, `http HOST PORT` or `sse HOST PORT`."""

from __future__ import annotations

import asyncio
import sys


async def _main(transport: str) -> None:
    from tests.transports.sample import Journal, sample_server

    server = sample_server(Journal())
    if transport == "stdio":
        from ollama_mcp.server.transports.stdio import run_stdio

        await run_stdio(server)
        return
    from ollama_mcp.server.transports.http import serve_http
    from ollama_mcp.settings.model import HttpSettings

    async def ready() -> bool:
        return True

    await serve_http(
        server,
        kind="sse" if transport == "sse" else "http",
        host=sys.argv[2],
        port=int(sys.argv[3]),
        uds=None,
        stateless=False,
        settings=HttpSettings(),
        ready=ready,
        listening=lambda url: Journal().note(f"listening {url}"),
    )


def main() -> None:
    """Starts as fast as the real server does."""
    from ollama_mcp.server.sdk import import_sdk

    import_sdk()
    if "--without-sdk-internals" in sys.argv:
        sys.modules["mcp.server.connection"] = None  # pyright: ignore[reportArgumentType]  # what a moved module is
    asyncio.run(_main(sys.argv[1]))


if __name__ == "__main__":
    main()
