"""Everything of a fleet as processes of its own: five hosts, two workers, three replicas behind nginx, PostgreSQL.

The hosts say back what they are asked, at little cost, and note each request in a file that outlives them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from ollama_mcp.settings.fleet import FleetSettings
from tests.cli.support import environment
from tests.faults.proxy import PortKeeper
from tests.fleet.pgbouncer import pgbouncer
from tests.fleet.postgres import Postgres
from tests.fleet.replicas import Replica, Replicas, replicas
from tests.fleet.workers import WorkerProcess, query, until_alive, worker
from tests.jobs.support import JOB, job_of
from tests.support import connected, data, until
from tests.work.batch.batching import settings_of

T = TypeVar("T")
LANES = 32
HOSTS, WORKERS = 5, 2
MODEL = "m"
_ANSWER_SECONDS = 0.02
_LONG = 1_800.0
LOST = "its worker is lost"
_KEPT = "SELECT coalesce(sum(kept), 0)::bigint FROM ranges"
_HOME = "SELECT pid FROM job_owners WHERE id = (SELECT owner FROM jobs WHERE state = 'running')"


class Host:
    """A host that can be killed, and started again at its address."""

    def __init__(self, folder: Path, name: str) -> None:
        self.keeper = PortKeeper()
        self.url = self.keeper.url
        self.notes = folder / f"{name}.asked"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        self.keeper.close()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.fake_ollama", "--note", str(self.notes)),
            *("--seconds", str(_ANSWER_SECONDS), "--port", str(self.keeper.port)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment(),
        )
        assert self._process.stdout is not None
        assert await asyncio.wait_for(self._process.stdout.readline(), 60)

    async def kill(self) -> None:
        """End it without a word."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def close(self) -> None:
        """End it, if it runs."""
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    def asked(self) -> int:
        """How many chats it was asked for."""
        return self.notes.stat().st_size if self.notes.exists() else 0


def write_input(folder: Path, rows: int) -> Path:
    """A file with so many rows, each another."""
    file = folder / f"{rows}.jsonl"
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps({"text": f"text number {n} of {rows}"}) + "\n" for n in range(rows))
    return file


def asked_of(given: Path, output: str) -> dict[str, Any]:
    """The arguments of the batch."""
    return {"input": [str(given)], "prompt": "Say {text}", "model": MODEL, "output": output}


async def write_alone(folder: Path, rows: int) -> Path:
    """The file that one process without a fleet writes."""
    host, output = Host(folder, "alone"), folder / f"alone-{rows}.jsonl"
    await host.start()
    try:
        settings: dict[str, Any] = {
            **settings_of(folder, folder),
            "work": {"parallel": LANES},
            "jobs": {"call_seconds": 86_400},
        }
        async with connected(host.url, **settings) as client:
            found = data(await client.call_tool("ollama_batch", asked_of(write_input(folder, rows), str(output))))
            assert (found["done"], found["failed"]) == (rows, 0)
    finally:
        await host.close()
    return output


class Crowd:
    """The fleet at work on one batch.

    Attributes:
        postgres: The server of the database.
        url: The address of the database without a pooler.
        lost_seconds: After which a worker is taken for lost.
        hosts: The hosts.
        workers: The workers, those that are no more included.
        servers: The replicas.
        deaths: How often requests may have been asked again.
        figures: What was measured, by name.
    """

    def __init__(self, postgres: Postgres, url: str, address: str, stack: AsyncExitStack) -> None:
        self.postgres, self.url = postgres, url
        self.lost_seconds = FleetSettings().lost_seconds
        self.hosts: list[Host] = []
        self.workers: list[WorkerProcess] = []
        self.servers: Replicas
        self.deaths = 0
        self.figures: dict[str, float] = {}
        self._address, self._stack = address, stack
        self._job = ""

    @property
    def host_settings(self) -> dict[str, Any]:
        """The hosts as the setting `hosts` names them."""
        return {f"box{number}": {"url": host.url} for number, host in enumerate(self.hosts)}

    @property
    def living(self) -> list[WorkerProcess]:
        """The workers that have not ended."""
        return [one for one in self.workers if one.process.returncode is None]

    async def add_worker(self) -> WorkerProcess:
        """Start a worker; returns it once it takes rows."""
        settings = {"hosts": self.host_settings, "log_level": "info"}
        command = worker("", self._address, "--lanes", str(LANES), lost_seconds=self.lost_seconds, **settings)
        self.workers.append(await self._stack.enter_async_context(command))
        return self.workers[-1]

    async def home(self) -> Replica | None:
        """The replica that runs the batch, if one does."""
        found = await asyncio.to_thread(query, self.url, _HOME)
        return next((one for one in self.servers.all if found and one.process.pid == found[0][0]), None)

    async def begin(self, given: Path, output: str) -> None:
        """Have a replica begin the batch."""
        async with self.servers.client("ann") as client:
            asked = {**asked_of(given, output), "background": True}
            self._job = job_of(await client.call_tool("ollama_batch", asked))

    async def kept(self) -> int:
        """How many rows are kept."""
        return (await asyncio.to_thread(query, self.url, _KEPT))[0][0]

    async def until_kept(self, rows: int) -> None:
        """Wait until so many rows are kept."""
        await self._until(self.kept, lambda kept: kept >= rows)

    async def until_more(self, than: int = 1) -> float:
        """Wait until rows are kept beyond those of now; returns the seconds."""
        begin = time.monotonic()
        before = await self._until(self.kept, lambda kept: kept >= 0)
        await self.until_kept(before + than)
        return time.monotonic() - begin

    async def _until(self, look: Callable[[], Awaitable[T]], true: Callable[[T], bool], seconds: float = 0.1) -> T:
        async with asyncio.timeout(_LONG):
            while True:
                # While the database is away there is nothing to be seen.
                with suppress(psycopg.OperationalError):
                    if true(found := await look()):
                        return found
                await asyncio.sleep(seconds)

    async def ended(self) -> dict[str, Any]:
        """The report of the batch, once it has ended; asked of whichever replica has its turn."""
        state = await self._until(self.state, lambda state: state not in ("", "running", "cut"), 0.5)
        async with self.servers.client("ann") as client:
            result = await client.call_tool(JOB, {"action": "result", "id": self._job})
        assert state == "done", result
        return data(result)

    async def state(self) -> str:
        """The state of the job; "" where the replica that was asked is gone, or the database away."""
        try:
            async with self.servers.client("ann") as client:
                rows = data(await client.call_tool(JOB, {}))["jobs"]
        except Exception:
            # As many kinds as there are ways to lose a server; whoever waits has a limit of time.
            return ""
        return next((row["state"] for row in rows if row["id"] == self._job), "")

    def lost(self) -> int:
        """How many ranges workers say that they took over from lost ones."""
        return sum(LOST in line for one in self.workers for line in one.said)

    async def until_taken_over(self, before: int, begin: float) -> float:
        """Seconds since `begin` until a range of a lost worker has another job."""
        await until(lambda: self.lost() > before, _LONG)
        return time.monotonic() - begin

    def asked(self) -> int:
        """How many chats all hosts were asked for."""
        return sum(host.asked() for host in self.hosts)

    def said(self) -> list[str]:
        """What workers and replicas logged as errors."""
        lines = [line for one in (*self.workers, *self.servers.all) for line in one.said]
        return [line for line in lines if "ERROR" in line or "Traceback" in line]


@asynccontextmanager
async def crowd(
    folder: Path, postgres: Postgres, *, pooled: bool = False, inputs: Path | None = None
) -> AsyncGenerator[Crowd]:
    """Start a fleet.

    Args:
        folder: Where its files lie; `results` in it can be written by calls.
        postgres: The server of its database.
        pooled: Whether all of it goes through a pooler in transaction mode.
        inputs: A folder that calls may read.
    """
    async with AsyncExitStack() as stack:
        url = postgres.url()
        address = stack.enter_context(pgbouncer(postgres, url)) if pooled else url
        fleet = Crowd(postgres, url, address, stack)
        for number in range(HOSTS):
            host = Host(folder, f"box{number}")
            fleet.hosts.append(host)
            stack.push_async_callback(host.close)
        await asyncio.gather(*(host.start() for host in fleet.hosts))
        await asyncio.gather(*(fleet.add_worker() for _ in range(WORKERS)))
        await until_alive(url, WORKERS)
        readable: dict[str, Any] = {"read__text_folders": [str(inputs or folder)]}
        fleet.servers = await stack.enter_async_context(
            replicas("", address, folder, hosts=fleet.host_settings, **readable)
        )
        yield fleet
