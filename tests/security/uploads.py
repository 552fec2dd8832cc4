"""Members of a team who send files."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from PIL import Image

from ollama_mcp.simulator import Simulator
from tests.security.team import Team, team_at

MODEL = "llama3.2:3b"
MORE = {"ann": ["use", "files"], "bob": ["use", "files"], "boss": ["manage", "files"]}


def png() -> bytes:
    """An image."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return buffer.getvalue()


class Sender:
    """Somebody who sends files."""

    def __init__(self, team: Team, name: str, client: httpx.AsyncClient) -> None:
        self._headers, self._client = team.headers(name), client

    async def send(self, name: str, content: bytes | AsyncIterator[bytes], **headers: str) -> httpx.Response:
        """The answer to a file that is sent."""
        address = f"/files?name={quote(name, safe='', errors='surrogatepass')}"
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._client.post(address, content=content, headers={**self._headers, **more})

    async def name(self, name: str, content: bytes) -> str:
        """How calls name a file that is sent."""
        answer = await self.send(name, content)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["name"])

    async def ask(self, method: str, address: str) -> httpx.Response:
        """The answer to another request."""
        return await self._client.request(method, address, headers=self._headers)

    async def names(self) -> list[str]:
        """What is listed."""
        return [file["name"] for file in (await self.ask("GET", "/files")).json()["files"]]


@asynccontextmanager
async def team_with_files(
    simulator: Simulator, folder: Path, uploads: dict[str, Any] | None = None, **given: Any
) -> AsyncGenerator[tuple[Team, Sender, Sender]]:
    """A team whose members ann and bob may send files, and both of them."""
    chosen = {"folder": str(folder / "sent"), **(uploads or {})}
    async with (
        team_at(simulator.url, folder, more=MORE, uploads=chosen, **given) as team,
        httpx.AsyncClient(base_url=team.url.rsplit("/", 1)[0], timeout=60) as client,
    ):
        yield team, Sender(team, "ann", client), Sender(team, "bob", client)


def on_disk(folder: Path) -> list[Path]:
    """The files that were sent, and what is unfinished."""
    return sorted(path for path in (folder / "sent").rglob("*") if path.is_file())
