"""The command `worker`: what it refuses, and with which next step."""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString, cast

import psycopg
import pytest
from procrastinate.schema import SchemaManager

from ollama_mcp.store.postgres_schema import SCHEMA, upgrade
from tests.cli.support import run
from tests.fleet.postgres import Postgres
from tests.fleet.workers import query

NOWHERE = "http://127.0.0.1:9"


async def refused(url: str) -> str:
    """What a worker says that does not start."""
    ran = await run("worker", "--set", f"store.url={url}", OLLAMA_HOST=NOWHERE)
    assert ran.code == 2 and not ran.out and "Traceback" not in ran.err, ran
    return ran.err


@pytest.mark.slow
async def test_a_worker_needs_a_store_that_is_shared() -> None:
    assert "store.url=postgresql://" in await refused("")


@pytest.mark.slow
async def test_without_tables_it_says_how_they_are_made(database_server: Postgres) -> None:
    assert "store upgrade" in await refused(database_server.url(tables=False))


@pytest.mark.slow
async def test_tables_of_another_version_are_refused(database_server: Postgres) -> None:
    url = database_server.url()
    query(url, "UPDATE meta SET value = '99.99.99_01_later' WHERE name = 'queue'")
    assert "pip install --upgrade" in await refused(url)
    query(url, "DELETE FROM meta WHERE name = 'queue'")
    assert "store upgrade" in await refused(url)
    query(url, "UPDATE meta SET value = '99.99' WHERE name = 'version'")
    assert "Update this" in await refused(url)


def test_the_tables_of_the_queue_are_brought_up_to_date(database_server: Postgres) -> None:
    url = database_server.url(tables=False)
    folder = Path(SchemaManager.get_migrations_path())
    *older, last = [file for file in sorted(folder.glob("*.sql")) if file.stem < "03.04"]
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (f"CREATE SCHEMA {SCHEMA}", f"SET search_path TO {SCHEMA}"):
            connection.execute(statement)
        for file in (*older, last):
            connection.execute(cast("LiteralString", file.read_text(encoding="utf-8")))
        connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        connection.execute("INSERT INTO meta VALUES ('queue', %s)", (last.stem,))
        upgrade(connection, url)
        upgrade(connection, url)
    ((version,),) = query(url, "SELECT value FROM meta WHERE name = 'queue'")
    assert version > last.stem
    assert query(url, "SELECT count(*) FROM pg_proc WHERE proname = 'procrastinate_retry_job_v2'") == [(1,)]
