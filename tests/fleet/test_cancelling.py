"""A job that another process runs is cancelled at once by LISTEN, and behind a pooler with the next look."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from mcp import Client

from ollama_mcp.server import durable_jobs
from ollama_mcp.simulator import Answer, Simulator
from tests.fleet.pgbouncer import pgbouncer
from tests.fleet.postgres import Postgres
from tests.jobs.support import CHAT, JOB, MODEL, job_of, listed_once
from tests.support import connected, until

pytestmark = pytest.mark.slow
NEVER = 3_600.0
LISTENING = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"


@asynccontextmanager
async def two(simulator: Simulator, url: str, **store: Any) -> AsyncGenerator[tuple[Client, Client]]:
    """Clients of two servers with one database."""
    given = {"url": url, **store}
    async with connected(simulator.url, store=given) as one, connected(simulator.url, store=given) as other:
        yield one, other


async def begun(client: Client, simulator: Simulator) -> str:
    """A job whose answer never ends."""
    simulator.script(MODEL, Answer(["One ", "two"], hold=asyncio.Event(), hold_after=1))
    job = job_of(await client.call_tool("ollama_chat", {**CHAT, "background": True}))
    await until(lambda: simulator.in_flight, 60)
    return job


async def until_listening(url: str) -> None:
    """Wait until a process listens."""
    with psycopg.connect(url, autocommit=True) as connection:
        await until(lambda: connection.execute(LISTENING).fetchone() != (0,), 60)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process does not hear, it does not learn."""
    monkeypatch.setattr(durable_jobs, "FLUSH_SECONDS", NEVER)


async def cancelled(one: Client, other: Client, simulator: Simulator, url: str) -> None:
    """A job of one is cancelled at the other."""
    job = await begun(one, simulator)
    await until_listening(url)
    await other.call_tool(JOB, {"action": "cancel", "id": job})
    await until(lambda: not simulator.in_flight, 60)
    for client in (one, other):
        await listed_once(client, lambda rows: rows[job]["state"] == "cancelled")


@pytest.mark.usefixtures("looks")
async def test_a_job_of_another_process_is_cancelled_by_a_message(
    simulator: Simulator, database_server: Postgres
) -> None:
    url = database_server.url()
    async with two(simulator, url) as (one, other):
        await cancelled(one, other, simulator, url)
        # All connections end, as with a database that is started again; then there is another that listens.
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await cancelled(one, other, simulator, url)


@pytest.mark.usefixtures("looks")
async def test_behind_a_pooler_a_direct_address_is_listened_at(simulator: Simulator, database_server: Postgres) -> None:
    url = database_server.url()
    with pgbouncer(database_server, url) as pooled:
        async with two(simulator, pooled, listen_url=url) as (one, other):
            await cancelled(one, other, simulator, url)


async def test_behind_a_pooler_alone_the_next_look_cancels(
    simulator: Simulator, database_server: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    url = database_server.url()
    with pgbouncer(database_server, url) as pooled, caplog.at_level(logging.WARNING):
        async with two(simulator, pooled) as (one, other):
            for _ in range(2):
                job = await begun(one, simulator)
                await other.call_tool(JOB, {"action": "cancel", "id": job})
                await until(lambda: not simulator.in_flight, 60)
                await listed_once(other, lambda rows, job=job: rows[job]["state"] == "cancelled")
    (said,) = {record.getMessage() for record in caplog.records if record.name.endswith("store.listening")}
    assert "is a pooler; store.listen_url" in said
