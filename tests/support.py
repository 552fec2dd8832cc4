"""What tests of the server share: a real MCP client connected to the real server over a simulated Ollama."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from mcp import Client
from mcp.types import CallToolResult, TextContent

from ollama_mcp.hosts import open_pool
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.server.auth.authenticator import Authenticator
from ollama_mcp.server.transports.http import serve_http
from ollama_mcp.server.transports.routes import http_routes
from ollama_mcp.settings import Settings

Mode = str
_COMMAND = re.compile(r"`[^`]+`")


@asynccontextmanager
async def connected(
    url: str, *, mode: str = "legacy", api_key: str = "", cloud_url: str = "", **settings: Any
) -> AsyncGenerator[Client]:
    """A client of a server in this process, whose Ollama is at `url`; further keywords are settings."""
    chosen = Settings.model_validate({"host": url, "store": {"path": ":memory:"}, **settings})
    hosts = open_pool(chosen, api_key=api_key, **({"cloud_url": cloud_url} if cloud_url else {}))
    server = OllamaServer(chosen, api_key=api_key, hosts=hosts)
    async with Client(server, mode=mode) as client:
        yield client


@asynccontextmanager
async def served(
    url: str,
    *,
    kind: Literal["http", "sse"] = "http",
    stateless: bool = False,
    auth: Authenticator | None = None,
    **settings: Any,
) -> AsyncGenerator[str]:
    """The address of a server over HTTP on this event loop and a free port; keywords as of `connected`."""
    given = {"host": url, "transport": kind, "store": {"path": ":memory:"}, **settings}
    chosen = Settings.model_validate(given)
    server = OllamaServer(chosen)
    if auth is not None:
        auth.accounts.keep_in(server.store, chosen)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve_http(
            server,
            kind=kind,
            host=chosen.http.host,
            port=0,
            uds=None,
            stateless=stateless,
            settings=chosen.http,
            ready=server.hosts.ready,
            auth=auth,
            routes=http_routes(server),
            listening=address.set_result,
        )
    )
    await asyncio.wait([serving, address], return_when=asyncio.FIRST_COMPLETED)
    try:
        if serving.done():
            await serving
        yield await address
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for something that another task or process does; a deadline instead of a hang."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not come true in time"
        await asyncio.sleep(0.005)


def texts(result: CallToolResult) -> list[str]:
    """The text blocks of a result, without the newline that ends each but the last."""
    return [block.text.removesuffix("\n") for block in result.content if isinstance(block, TextContent)]


def text(result: CallToolResult) -> str:
    """The one text block of a successful result without notes."""
    assert not result.is_error, texts(result)
    (only,) = texts(result)
    return only


def error(result: CallToolResult, kind: str) -> str:
    """The text of a failed result of that kind, which holds to the rules for all of them."""
    assert result.is_error, texts(result)
    first = texts(result)[0]
    assert first.startswith(f"[{kind}] "), first
    # A next step is kept whole: a command in it is as long as this installation's path and the paths that it names.
    assert len(_COMMAND.sub("", first)) <= 400, first
    assert "Traceback" not in first and "\n" not in first, first
    assert result.structured_content is None
    assert (result.meta or {})["ollama-mcp-server/error"] == {"kind": kind, "complete": False}
    return first


def data(result: CallToolResult) -> dict[str, Any]:
    """The structured content of a successful result."""
    assert not result.is_error, texts(result)
    assert result.structured_content is not None
    return result.structured_content
