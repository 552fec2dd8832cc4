"""Serves the conformance fixtures over our streamable HTTP transport: `serve.py PORT`."""

from __future__ import annotations

import asyncio
import logging
import sys

from ollama_mcp.server.transports.http import serve_http
from ollama_mcp.settings.model import HttpSettings
from tests.conformance import fixture_content, fixture_rounds, fixture_tools
from tests.conformance.fixture_base import mcp

FIXTURES = (fixture_content, fixture_rounds, fixture_tools)


async def _ready() -> bool:
    return True


def _tell(url: str) -> None:
    sys.stderr.write(f"listening {url}\n")


async def _main(port: int) -> None:
    logging.disable()
    # The suite's own page is one whose Origin is listed; by default none is.
    settings = HttpSettings(allowed_origins=[f"http://localhost:{port}", f"http://127.0.0.1:{port}"])
    await serve_http(
        mcp,
        kind="http",
        host="127.0.0.1",
        port=port,
        uds=None,
        stateless=False,
        settings=settings,
        ready=_ready,
        listening=_tell,
    )


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
