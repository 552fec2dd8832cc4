"""Servers and workers of several versions with one database: each tells its own, and who looks for them finds out."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ollama_mcp import __version__
from ollama_mcp.cli.doctor.database import check_database
from ollama_mcp.fleet import tables
from ollama_mcp.fleet.shared_hosts import SharedHosts, exchange
from ollama_mcp.hosts import open_pool
from ollama_mcp.settings import Settings
from ollama_mcp.store import Store
from ollama_mcp.store.host_views import HostView, Place, Process
from tests.fleet.postgres import Postgres
from tests.fleet.workers import query
from tests.store.support import opened
from tests.support import until

GPU = Place("gpu", "http://gpu:11434")


async def told(store: Store, *processes: Process) -> None:
    """Have processes tell that they are alive."""
    for one in processes:
        await store.database.run(partial(exchange, process=one, told={GPU: (HostView(), (1, 1))}))


async def test_doctor_names_those_of_another_version_and_says_what_to_do(
    database_server: Postgres, tmp_path: Path
) -> None:
    url = database_server.url()
    async with opened(tmp_path / "s.sqlite3", url=url) as store:
        await told(store, Process("a", "server on one (process 1)", __version__))
        assert "fleet" not in {check.name async for check in check_database(url)}
        await told(store, Process("b", "worker on gpu-2 (process 2)", "0.0.9", takes_rows=True))
        # A version before this one does not say who it is.
        await told(store, Process("c"), *(Process(f"d{n}", f"worker {n}", "9.9") for n in range(5)))
        checks = {check.name: check async for check in check_database(url)}
    assert checks["database"].found.endswith("alive: 8")
    found = checks["fleet"]
    assert found.verdict == "warning" and "install one version everywhere" in found.fix
    assert f"7 are of another version than this one ({__version__})" in found.found
    assert "one: an earlier one, worker on gpu-2 (process 2): 0.0.9, worker 0: 9.9" in found.found
    assert found.found.endswith("worker 2: 9.9, 2 more")


async def test_a_batch_counts_on_workers_of_its_own_version_only(database_server: Postgres, tmp_path: Path) -> None:
    url = database_server.url()
    async with opened(tmp_path / "s.sqlite3", url=url) as store:

        async def alive() -> int:
            return await store.database.run(partial(tables.workers_alive, seconds=60))

        query(url, "INSERT INTO procrastinate_workers DEFAULT VALUES")
        assert await alive() == 1
        await told(store, Process("a", version="0.0.9"), Process("b", version=__version__, takes_rows=True))
        assert await alive() == 1
        await told(store, Process("c", version="0.0.9", takes_rows=True))
        assert await alive() == 0
        query(url, "INSERT INTO procrastinate_workers DEFAULT VALUES")
        assert await alive() == 1


@pytest.mark.parametrize("takes_rows", [True, False])
async def test_a_process_tells_what_it_is(takes_rows: bool, database_server: Postgres, tmp_path: Path) -> None:
    url = database_server.url()
    hosts = open_pool(Settings(), api_key="")
    try:
        async with opened(tmp_path / "s.sqlite3", url=url) as store:
            async with SharedHosts(store.database, hosts, "worker", takes_rows=takes_rows):
                rows = "SELECT split_part(program, ' on ', 1), version, takes_rows FROM host_views"
                await until(lambda: query(url, rows), 60)
                assert query(url, rows) == [("worker", __version__, takes_rows)]
            assert query(url, rows) == []
    finally:
        await hosts.aclose()
