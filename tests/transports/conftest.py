"""Servers of this folder's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from ollama_mcp.server.transports.http import serve_http
from ollama_mcp.server.transports.http_app import HttpKind
from ollama_mcp.settings.model import HttpSettings
from tests.transports.sample import Journal, sample_server
from tests.transports.wire import HttpPeer, StdioPeer


@dataclass
class Served:
    """A server over HTTP on this test's event loop."""

    url: str
    journal: Journal

    @property
    def peer(self) -> HttpPeer:
        """A new raw client."""
        parts = urlsplit(self.url)
        assert parts.port is not None and parts.hostname is not None
        return HttpPeer(parts.port, parts.hostname)


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve() -> Serve:
    """Serves the sample server: `async with serve(kind=..., stateless=..., **settings) as served`."""

    @asynccontextmanager
    async def serving(
        kind: HttpKind = "http",
        *,
        host: str = "127.0.0.1",
        uds: str | None = None,
        stateless: bool = False,
        ready: bool | Exception = True,
        **settings: object,
    ) -> AsyncGenerator[Served]:
        journal = Journal()
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def is_ready() -> bool:
            if isinstance(ready, Exception):
                raise ready
            return ready

        task = asyncio.create_task(
            serve_http(
                sample_server(journal),
                kind=kind,
                host=host,
                port=0,
                uds=uds,
                stateless=stateless,
                settings=HttpSettings.model_validate({"gone_seconds": 0.2, **settings}),
                ready=is_ready,
                listening=url.set_result,
            )
        )
        await asyncio.wait([task, url], return_when=asyncio.FIRST_COMPLETED)
        try:
            if task.done():
                await task
            yield Served(await url, journal)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return serving


@pytest.fixture(scope="module")
def shared_stdio() -> Generator[StdioPeer]:
    """One stdio server for a whole module, already past its handshake; tests leave it as they found it."""
    with StdioPeer() as peer:
        peer.handshake()
        yield peer
