"""A worker that is told to end while the database is away, and outputs that cannot be written at the end."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

import pytest

from tests.fleet.postgres import Postgres, postgres
from tests.fleet.running import batch, simulated
from tests.fleet.workers import query, until_alive, worker
from tests.support import error, until

pytestmark = pytest.mark.slow


async def test_a_worker_ends_while_the_database_is_away(tmp_path: Path) -> None:
    with postgres() as server:
        url = server.url()
        async with simulated() as simulator, worker(simulator.url, url) as busy:
            await until_alive(url, 1)
            async with batch(simulator, url, tmp_path) as running, worker(simulator.url, url) as idle:
                await until_alive(url, 2)
                await running.until_kept(50)
                await asyncio.to_thread(server.stop, "immediate")
                try:
                    await until(lambda: all(any("atabase" in line for line in one.said) for one in (busy, idle)), 60)
                    for one in (busy, idle):
                        one.signal(signal.SIGTERM)
                    assert [await one.ended() for one in (busy, idle)] == [0, 0]
                    said = [*busy.said, *idle.said]
                    assert not any("Traceback" in line or "ERROR" in line for line in said), said
                finally:
                    await asyncio.to_thread(server.start)


async def test_an_output_folder_that_is_gone_at_the_end_costs_no_row(tmp_path: Path, database_server: Postgres) -> None:
    url, results = database_server.url(), tmp_path / "results"
    results.mkdir()
    async with simulated() as simulator, worker(simulator.url, url, lost_seconds=60):
        await until_alive(url, 1)
        async with batch(simulator, url, tmp_path, rows=200, output="results/out.jsonl") as running:
            await running.until_kept(50)
            shutil.rmtree(results)
            said = error(await running.task, "disk")
        assert "200 of 200 rows done, which are kept" in said and "its folder was moved or removed" in said, said
        assert "Check the folder" in said and "The same call resumes from there" in said, said
        assert query(url, "SELECT count(*) FROM records") == [(200,)]
        results.mkdir()
        asked = len(simulator.requests)
        async with batch(simulator, url, tmp_path, rows=200, output="results/out.jsonl", begun=True) as running:
            assert (await running.ended())["done"] == 200
        assert len((results / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 200
        assert not any(seen.path == "/api/chat" for seen in simulator.requests[asked:])
