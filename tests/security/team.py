"""A server for a team: a file of tokens, and clients that have them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from ollama_mcp.hosts.principal import SCOPES, Principal, limits_for
from ollama_mcp.server.auth.accounts import Accounts
from ollama_mcp.server.auth.authenticator import TokenAuthenticator
from ollama_mcp.server.auth.token_file import add_token
from ollama_mcp.settings import Settings
from ollama_mcp.settings.auth import PrincipalSettings
from tests.support import served
from tests.transports.wire import HttpPeer, modern

EVERYTHING = ("read", "use", "manage", "files")
Era = Literal["legacy", "2026-07-28"]
ERAS: tuple[Era, ...] = ("legacy", "2026-07-28")


@dataclass
class Team:
    """The tokens of a file, by name, and where their server is."""

    file: Path
    url: str = ""
    secrets: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, name: str, *scopes: str) -> str:
        """Makes a token."""
        self.secrets[name] = add_token(self.file, name, scopes)
        return self.secrets[name]

    def headers(self, name: str) -> dict[str, str]:
        """The header of somebody's requests."""
        return {"Authorization": f"Bearer {self.secrets[name]}"}

    @property
    def peer(self) -> HttpPeer:
        """A raw client."""
        parts = urlsplit(self.url)
        assert parts.port is not None and parts.hostname is not None
        return HttpPeer(parts.port, parts.hostname)

    async def status(self, name: str) -> int:
        """The status that a request of somebody gets."""
        return (await self.peer.post(modern(1, "server/discover"), "modern", **self.headers(name))).status

    async def until(self, name: str, status: int) -> None:
        """Waits until somebody's requests get a status: the server sees a change of the file within a second."""
        async with asyncio.timeout(60):
            while await self.status(name) != status:
                pass

    @asynccontextmanager
    async def client(self, name: str, era: Era = "legacy", **given: Any) -> AsyncGenerator[Client]:
        """The SDK's client with somebody's token; keywords are its own."""
        if self.url.endswith("/sse"):
            async with Client(sse_client(self.url, headers=self.headers(name)), mode=era, **given) as client:
                yield client
        else:
            async with (
                httpx2.AsyncClient(headers=self.headers(name), timeout=60) as http,
                Client(streamable_http_client(self.url, http_client=http), mode=era, **given) as client,
            ):
                yield client


@asynccontextmanager
async def team_at(
    url: str,
    folder: Path,
    *,
    kind: Literal["http", "sse"] = "http",
    stateless: bool = False,
    more: Mapping[str, Sequence[str]] = {},
    **given: Any,
) -> AsyncGenerator[Team]:
    """A server whose Ollama is at `url`, with the tokens reader, user, other, admin and more; keywords are settings."""
    team = Team(folder / "tokens")
    team.add("reader", "read")
    team.add("user", "use")
    team.add("other", "use")
    team.add("admin", *EVERYTHING)
    for name, scopes in more.items():
        team.add(name, *scopes)
    settings = Settings.model_validate({"host": url, "transport": kind, **given})
    auth = TokenAuthenticator(team.file, limits=partial(limits_for, settings))
    async with served(url, kind=kind, stateless=stateless, auth=auth, **given) as team.url:
        yield team


class Vouched:
    """An issuer that vouches for whatever subject it likes."""

    issuer = audience = ""

    def __init__(self) -> None:
        self.accounts = Accounts()

    async def authenticate(self, token: str) -> Principal:
        return Principal(bytes.fromhex(token).decode(), frozenset(SCOPES), PrincipalSettings())

    async def still_counts(self, principal: Principal) -> bool:
        return True

    async def by_name(self, name: str) -> Principal | None:
        return None
