"""Workers that die, stop or end, and a database that restarts: no row is lost or doubled, and the file is the same."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ollama_mcp.simulator import Fault
from tests.fleet.postgres import Postgres, postgres
from tests.fleet.running import batch, simulated
from tests.fleet.workers import WorkerProcess, query, until_alive, worker
from tests.support import until

pytestmark = pytest.mark.slow


async def test_a_worker_that_is_killed_loses_nothing(tmp_path: Path, database_server: Postgres) -> None:
    url = database_server.url()
    async with simulated() as simulator, worker(simulator.url, url) as one, worker(simulator.url, url) as two:
        await until_alive(url, 2)
        async with batch(simulator, url, tmp_path) as running:
            await running.until_kept(150)
            await one.kill()
            assert (await running.ended())["done"] == 600
        assert any("its worker is lost" in line for line in two.said)
        assert running.written() == await running.alone()


async def test_all_workers_are_killed_and_another_one_goes_on(tmp_path: Path, database_server: Postgres) -> None:
    url = database_server.url()
    async with simulated() as simulator, worker(simulator.url, url) as one, worker(simulator.url, url) as two:
        await until_alive(url, 2)
        async with batch(simulator, url, tmp_path) as running:
            await running.until_kept(150)
            await asyncio.gather(one.kill(), two.kill())
            async with worker(simulator.url, url):
                assert (await running.ended())["done"] == 600
        assert running.written() == await running.alone()


async def test_what_a_worker_that_was_stopped_for_a_while_writes_late_is_refused(
    tmp_path: Path, database_server: Postgres
) -> None:
    url = database_server.url()
    async with simulated(0.2) as simulator, worker(simulator.url, url, log_level="info") as one:
        await until_alive(url, 1)
        async with batch(simulator, url, tmp_path, rows=400) as running, worker(simulator.url, url) as two:
            await until_alive(url, 2)
            await running.until_kept(40)
            one.signal(signal.SIGSTOP)
            await until(lambda: any("its worker is lost" in line for line in two.said), 60)
            one.signal(signal.SIGCONT)
            await until(lambda: any("no longer this worker's" in line for line in one.said), 60)
            assert (await running.ended())["done"] == 400
        assert not any("ERROR" in line or "never retrieved" in line for line in one.said)
        assert running.written() == await running.alone()


async def test_a_worker_that_is_told_to_end_does_so_and_leaves_the_rest(
    tmp_path: Path, database_server: Postgres
) -> None:
    url = database_server.url()
    async with (
        simulated() as simulator,
        worker(simulator.url, url, lost_seconds=60) as one,
        worker(simulator.url, url, lost_seconds=60),
    ):
        await until_alive(url, 2)
        async with batch(simulator, url, tmp_path) as running:
            alive = "SELECT count(DISTINCT process) FROM host_views"
            await until(lambda: query(url, alive) == [(3,)], 60)
            await running.until_kept(150)
            one.signal(signal.SIGTERM)
            assert await one.ended() == 0
            await until(lambda: query(url, alive) == [(2,)], 60)
            assert (await running.ended())["done"] == 600
        assert not any("ended in time" in line or "ERROR" in line for line in one.said)
        assert running.written() == await running.alone()
        # What had begun was kept.
        assert len([seen for seen in simulator.requests if seen.path == "/api/chat"]) == 600


async def test_a_row_that_workers_die_of_is_one_error(tmp_path: Path, database_server: Postgres) -> None:
    url = database_server.url()
    texts = [f"text number {n}" for n in range(60)]
    texts[21] = "poison"
    async with simulated() as simulator, AsyncExitStack() as workers:
        simulator.faults.add(Fault("hang", path="/api/chat", contains="poison"))
        current: list[WorkerProcess] = [await workers.enter_async_context(worker(simulator.url, url, lost_seconds=2))]
        await until_alive(url, 1)

        async def die() -> None:
            """Kills whoever asks about the row, and starts another worker."""
            while True:
                await until(lambda: any(b"poison" in seen.body for seen in simulator.in_flight), 80)
                await current[-1].kill()
                await until(lambda: not any(b"poison" in seen.body for seen in simulator.in_flight), 80)
                current.append(await workers.enter_async_context(worker(simulator.url, url, lost_seconds=2)))

        killing = asyncio.create_task(die())
        try:
            async with batch(simulator, url, tmp_path, texts=texts) as running:
                report = await running.ended(150)
        finally:
            killing.cancel()
            await asyncio.wait({killing})
        assert (report["done"], report["failed"], len(current)) == (59, 1, 4)
        (failed,) = [row for row in running.written() if "output" not in row]
        assert failed["row"] == 22 and "died on this row" in failed["error"]["message"]


async def test_the_database_restarts_in_the_middle(tmp_path: Path) -> None:
    with postgres() as server:
        url = server.url()
        async with simulated() as simulator, worker(simulator.url, url) as one, worker(simulator.url, url) as two:
            await until_alive(url, 2)
            async with batch(simulator, url, tmp_path) as running:
                await running.until_kept(150)
                await asyncio.to_thread(server.stop, "immediate")
                await asyncio.to_thread(server.start)
                assert (await running.ended())["done"] == 600
            assert running.written() == await running.alone()
            assert (one.process.returncode, two.process.returncode) == (None, None)
