"""What somebody of a team could try by way of workers and a shared database; their rows are in docs/attacks.md."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio

from ollama_mcp.server.auth.token_file import revoke_token
from ollama_mcp.simulator import Answer, Simulator
from tests.fleet.postgres import Postgres
from tests.fleet.workers import WorkerProcess, query, until_alive, worker
from tests.jobs.support import JOB, MODEL, job_of
from tests.observation.test_metrics import figures, free_port, scraped
from tests.security.team import Team, team_at
from tests.security.test_secrets import HEADER, KEY, PASSWORD, no_canary
from tests.security.uploads import Sender
from tests.support import data, error, until

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

MEMBERS = {name: ["use", "files"] for name in ("ann", "bob", "few", "cut", "near")}
LIMITS: dict[str, Any] = {
    "few": {"tokens_per_day": 30},
    "cut": {"tokens_per_day": 1_000_000},
    "near": {"hosts": ["local"]},
}
SPENT = "SELECT coalesce(sum(tokens), 0)::bigint FROM spending WHERE name = 'cut'"


@dataclass
class Fleet:
    """A server with a team, its own Ollama, and a worker with another one."""

    url: str
    team: Team
    near: Simulator
    far: Simulator
    worker: WorkerProcess
    metrics: int

    async def batch(self, name: str, words: str, rows: int = 10, **more: Any) -> Any:
        """Somebody's batch."""
        given = {"model": MODEL, "prompt": "Say {text}", "input": [f"{words} {n}" for n in range(rows)], **more}
        async with self.team.client(name) as client:
            return await client.call_tool("ollama_batch", given)

    async def until(self, statement: str, true: Callable[[Any], bool]) -> None:
        """Wait until the first value that a statement on the store gives is as wanted."""
        async with asyncio.timeout(60):
            while not true((await asyncio.to_thread(query, self.url, statement))[0][0]):
                pass

    def asked(self, words: str) -> tuple[int, int]:
        """How many requests with these words the server's own Ollama got, and how many the worker's."""
        near, far = (sum(words.encode() in seen.body for seen in one.requests) for one in (self.near, self.far))
        return near, far


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(database_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Fleet]:
    """The fleet of all tests here; its worker and its database have secrets, and tell all that they can."""
    folder: Path = tmp_path_factory.mktemp("fleet")
    url = database_server.url().replace("ollama@", f"ollama:{PASSWORD}%2F@")
    given: dict[str, Any] = {
        "store": {"url": url},
        "principals": LIMITS,
        "ledger": {"enabled": True},
        "jobs": {"call_seconds": 3_600},
        "uploads": {"folder": str(folder / "sent")},
    }
    port = free_port()
    secrets = {"api_key": KEY, "headers": {"X-Key": HEADER}, "log_level": "debug", "ledger__enabled": True}
    async with (
        Simulator(version="latest") as near,
        Simulator(version="latest", num_parallel=64) as far,
        worker(far.url, url, lost_seconds=60, metrics__port=port, **secrets) as one,
        team_at(near.url, folder, more=MEMBERS, **given) as team,
    ):
        await until_alive(url, 1)
        yield Fleet(url, team, near, far, one, port)


async def test_the_tokens_of_a_batch_at_workers_count_to_the_last_row(fleet: Fleet) -> None:
    """B20: all that its ranges cost is counted, also those that end last."""
    assert data(await fleet.batch("few", "count"))["done"] == 10
    assert fleet.asked("count")[1] == 10
    assert "tokens today; its limit is 30" in error(await fleet.batch("few", "more", 2), "busy")


async def test_what_workers_had_said_for_a_batch_that_is_cancelled_counts(fleet: Fleet) -> None:
    """B21: rows that were kept, by what Ollama told, and those that were cut, by what had come."""
    fleet.far.script(MODEL, *[Answer("one", tokens=1_000, prompt_tokens=1_000)] * 2)
    fleet.far.script(MODEL, *[Answer(["word "] * 40, hold=asyncio.Event(), hold_after=30)] * 60)
    async with fleet.team.client("cut") as client:
        ask = {"model": MODEL, "prompt": "Say {text}", "input": [f"cut {n}" for n in range(20)], "background": True}
        job = job_of(await client.call_tool("ollama_batch", ask))
        await fleet.until("SELECT count(*) FROM records", lambda kept: kept == 2)
        await until(lambda: len(fleet.far.in_flight) > 1, 60)
        # Told at the latest half a second after it was kept, and long before the range ends.
        await fleet.until(SPENT, lambda spent: spent >= 4_000)
        await client.call_tool(JOB, {"action": "cancel", "id": job})
    await until(lambda: not fleet.far.in_flight, 60)
    await fleet.until(SPENT, lambda spent: spent >= 4_000 + 20)
    assert query(fleet.url, SPENT)[0][0] < 10_000
    fleet.far.scripts.clear()


async def test_the_ledger_says_who_had_workers_ask_what(fleet: Fleet) -> None:
    """B22: what a worker exchanges with its hosts is a row of whoever began the batch."""
    assert data(await fleet.batch("ann", "ledger"))["done"] == 10
    rows = (
        "FROM ledger WHERE who = 'ann' AND tool = 'ollama_batch' AND outcome = 'ok' "
        f"AND strpos(traffic, '{fleet.far.url}') > 0"
    )
    await fleet.until(f"SELECT count(*) {rows}", lambda number: number == 1)
    ((traffic,),) = query(fleet.url, f"SELECT traffic {rows}")
    (found,) = [one for one in json.loads(traffic) if one["model"] == MODEL]
    assert found["requests"] >= 10 and found["prompt_tokens"] > 0 and found["bytes_out"] > 0 and found["digest"]
    no_canary(str(query(fleet.url, "SELECT * FROM ledger")))


async def test_nobody_gets_the_rows_that_workers_did_for_another(fleet: Fleet) -> None:
    """B23: the same batch of another is done anew; the same of the same is not."""
    ask = {"rows": 6, "limit": 3}
    assert data(await fleet.batch("ann", "same", **ask))["done"] == 3
    assert data(await fleet.batch("bob", "same", **ask))["done"] == 3
    assert fleet.asked("same") == (0, 6)


async def test_a_batch_of_who_may_use_some_hosts_stays_with_these(fleet: Fleet) -> None:
    """B24: a worker's hosts are others."""
    assert data(await fleet.batch("near", "stay"))["done"] == 10
    assert fleet.asked("stay") == (10, 0)


async def test_a_file_of_another_does_not_get_to_a_worker_by_a_batch(fleet: Fleet) -> None:
    """B25: what was sent is read where the batch began, for its sender alone; of what is gone nothing is left."""
    async with httpx.AsyncClient(base_url=fleet.team.url.rsplit("/", 1)[0], timeout=60) as http:
        ann = Sender(fleet.team, "ann", http)
        name = await ann.name("rows.txt", b"of ann, the first\nof ann, the second\n")
        ask = {"model": MODEL, "prompt": "Say {text}"}
        for given in (name, "upload:rows.txt", "upload:*.txt"):
            async with fleet.team.client("bob") as client:
                assert (await client.call_tool("ollama_batch", {**ask, "input": [given]})).is_error, given
        assert fleet.asked("of ann") == (0, 0)
        async with fleet.team.client("ann") as client:
            assert data(await client.call_tool("ollama_batch", {**ask, "input": [name]}))["done"] > 0
        assert fleet.asked("of ann")[1] > 0
        await ann.ask("DELETE", f"/files/{name.split(':')[1].split('/')[0]}")
        async with fleet.team.client("ann") as client:
            said = await client.call_tool("ollama_batch", {**ask, "prompt": "Again {text}", "input": [name]})
        assert said.is_error
    assert query(fleet.url, "SELECT count(*) FROM ranges") == [(0,)]


async def test_no_secret_is_in_what_a_worker_says_or_the_database_keeps(fleet: Fleet) -> None:
    """B26: keys, headers, the database's password: in no line of the log, table, query or figure."""
    assert data(await fleet.batch("ann", "secret", options={"seed": 7}))["done"] == 10
    fleet.far.script(MODEL, *[Answer(error=f"wrong key: Bearer {KEY}, {HEADER}", status=500)] * 20)
    failed = await fleet.batch("ann", "fails", 2)
    fleet.far.scripts.clear()
    assert "(hidden)" in failed.model_dump_json() and fleet.asked("fails")[1] >= 2
    no_canary(failed.model_dump_json())
    said, page = "".join(fleet.worker.said), (await scraped(fleet.metrics)).text
    assert figures(page)['ollama_mcp_calls_total{outcome="ok",tool="ollama_batch"}'] >= 1
    assert "takes rows" in said
    no_canary(said, page, str(await asyncio.to_thread(_everything, fleet.url)))
    assert "ann" not in page and not any(secret in said for secret in fleet.team.secrets.values())


async def test_the_run_of_a_revoked_token_ends_and_is_nobodys(fleet: Fleet) -> None:
    """B27: its rows at workers are worked on to their end, nobody is shown them, and the next call is not let in."""
    gate = asyncio.Event()
    fleet.far.script(MODEL, *[Answer("late", hold=gate)] * 4)
    async with fleet.team.client("bob") as client:
        ask = {"model": MODEL, "prompt": "Say {text}", "input": [f"revoked {n}" for n in range(4)], "background": True}
        job = job_of(await client.call_tool("ollama_batch", ask))
        await until(lambda: len(fleet.far.in_flight) == 4, 60)
        await asyncio.to_thread(revoke_token, fleet.team.file, "bob")
        await fleet.team.until("bob", 401)
    gate.set()
    await fleet.until(f"SELECT state FROM jobs WHERE id = '{job}'", lambda state: state == "done")
    for name in ("ann", "admin"):
        async with fleet.team.client(name) as client:
            for action in ("status", "result", "cancel", "resume"):
                said = error(await client.call_tool(JOB, {"action": action, "id": job}), "invalid_argument")
                assert "There is no job" in said, (name, action)


def _everything(url: str) -> list[Any]:
    """What all tables of a database hold, and what it shows of its connections."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'ollama_mcp'"
        ).fetchall()
        found = [connection.execute(f"SELECT * FROM {table}".encode()).fetchall() for (table,) in tables]
        found.append(connection.execute("SELECT * FROM pg_stat_activity").fetchall())
    return found
