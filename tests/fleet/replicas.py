"""Replicas: servers as processes of their own over HTTP without sessions, on one database, behind nginx."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mcp import Client

from tests.cli.support import environment
from tests.routers.nginx import STREAMING, nginx
from tests.security.team import Team

MODERN = "2026-07-28"
_SECONDS = 60
_LISTENS = "ollama-mcp-server listens at "
# Answers come as they are written, and clients' names for the server reach it.
_DIRECTIVES = f"{STREAMING} proxy_read_timeout 120s; proxy_set_header Host $http_host;"


@dataclass
class Replica:
    """One server process."""

    process: asyncio.subprocess.Process
    url: str = ""
    said: list[str] = field(default_factory=list[str])
    _reading: asyncio.Task[None] | None = None

    async def until_listening(self) -> None:
        """Wait until it can be reached."""
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(listening))
        self.url = await asyncio.wait_for(listening, _SECONDS)

    async def _read(self, listening: asyncio.Future[str]) -> None:
        assert self.process.stderr is not None
        while line := (await self.process.stderr.readline()).decode():
            self.said.append(line.rstrip())
            if line.startswith(_LISTENS) and not listening.done():
                listening.set_result(line.removeprefix(_LISTENS).strip())
        if not listening.done():
            listening.set_exception(AssertionError("\n".join(self.said)))

    async def kill(self) -> None:
        """End it as the system does when memory runs out."""
        self.process.kill()
        await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def close(self) -> None:
        """Have it end as a service manager does."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), 20)
            except TimeoutError:
                await self.kill()
        if self._reading is not None:
            await self._reading


@dataclass
class Replicas:
    """Servers of one team; `url` is that of nginx before them."""

    team: Team
    all: list[Replica]
    url: str

    @asynccontextmanager
    async def client(self, name: str, at: int | None = None, **given: Any) -> AsyncGenerator[Client]:
        """Somebody's client of whichever replica has its turn, or always of one."""
        url = self.url if at is None else self.all[at].url
        async with replace(self.team, url=url).client(name, MODERN, **given) as client:
            yield client


@asynccontextmanager
async def replicas(
    ollama: str, database: str, folder: Path, names: Sequence[str] = ("ann", "bob"), count: int = 3, **settings: Any
) -> AsyncGenerator[Replicas]:
    """Start replicas for a team.

    Args:
        ollama: The address of their host.
        database: That of their store.
        folder: Where they keep their files; `results` in it can be written by calls.
        names: Whose tokens there are.
        count: How many replicas.
        settings: Further settings by their whole names, with `__` for the dots.
    """
    team = Team(folder / "tokens")
    for name in names:
        team.add(name, "use", "manage", "files")
    (folder / "results").mkdir()
    given: dict[str, Any] = {
        "store.url": database,
        "auth.tokens": str(team.file),
        "read.over_http": True,
        "write.folders": [str(folder / "results")],
        "work.parallel": 1,
        **{name.replace("__", "."): value for name, value in settings.items()},
    }
    async with AsyncExitStack() as stack:
        homes = [folder / f"home-{number}" for number in range(count)]
        for home in homes:
            home.mkdir()
        started = [await _start(ollama, home, folder, given) for home in homes]
        for one in started:
            stack.push_async_callback(one.close)
        for one in started:
            await one.until_listening()
        url = stack.enter_context(nginx(folder, [one.url for one in started], _DIRECTIVES))
        yield Replicas(team, started, f"{url}/mcp")


async def _start(ollama: str, home: Path, folder: Path, settings: dict[str, Any]) -> Replica:
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    command = (sys.executable, "-m", "ollama_mcp", "--transport", "http", "--port", "0", "--stateless", *sets)
    folders = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(home))
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        # A job goes on only where relative paths start from the same folder.
        cwd=folder,
        env=environment(OLLAMA_HOST=ollama, **folders),
    )
    return Replica(process)
