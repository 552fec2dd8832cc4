"""Runs on workers as their callers meet them: cancelled, side by side, with an input that changes, behind a pooler."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import psycopg
import pytest

from ollama_mcp.simulator import Fault, Simulator
from tests.fleet.postgres import Postgres
from tests.fleet.running import batch, nothing_left, simulated
from tests.fleet.workers import input_of, query, shared, until_alive, worker
from tests.installed import unavailable
from tests.support import connected, data, error, until
from tests.work.batch.batching import MODEL

pytestmark = pytest.mark.slow


async def test_a_run_that_is_cancelled_lets_its_requests_go(tmp_path: Path, database_server: Postgres) -> None:
    url = database_server.url()
    async with simulated() as simulator, worker(simulator.url, url, lost_seconds=60):
        await until_alive(url, 1)
        async with batch(simulator, url, tmp_path) as running:
            await running.until_kept(100)
            simulator.faults.add(Fault("hang", path="/api/chat"))
            await until(lambda: simulator.in_flight)
            running.task.cancel()
            await asyncio.wait({running.task})
            await until(lambda: not simulator.in_flight)
            await until(lambda: query(url, "SELECT state FROM fleet_runs") == [("cancelled",)])
        assert query(url, "SELECT count(*) FROM ranges") == [(0,)]
        ((kept,),) = query(url, "SELECT count(*) FROM records")
        simulator.faults.clear()
        # The same call goes on with what was kept.
        asked = len(simulator.requests)
        async with batch(simulator, url, tmp_path, begun=True) as running:
            assert (await running.ended())["done"] == 600
        chats = [seen for seen in simulator.requests[asked:] if seen.path == "/api/chat"]
        assert kept >= 100 and len(chats) == 600 - kept


async def test_two_runs_side_by_side_take_turns(tmp_path: Path, database_server: Postgres) -> None:
    url = database_server.url()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    texts = {name: [f"{name} number {n}" for n in range(1_000)] for name in "ab"}
    async with simulated(0.01) as simulator, worker(simulator.url, url, lost_seconds=60):
        await until_alive(url, 1)
        async with (
            batch(simulator, url, tmp_path / "a", texts=texts["a"]) as one,
            batch(simulator, url, tmp_path / "b", texts=texts["b"]) as other,
        ):
            done, _ = await asyncio.wait({one.task, other.task}, return_when=asyncio.FIRST_COMPLETED)
            bodies = [seen.body for seen in simulator.requests if seen.path == "/api/chat"]
            counts = [sum(f"{name} number".encode() in body for body in bodies) for name in "ab"]
            assert done and min(counts) >= 0.4 * sum(counts), counts
            # Each ends in its own time: what is left counts once both have.
            reports = [data(answer) for answer in await asyncio.gather(one.task, other.task)]
            assert [report["done"] for report in reports] == [1_000, 1_000] and nothing_left(url)


async def test_an_input_that_changes_after_it_was_given_out_stops_the_run(
    tmp_path: Path, database_server: Postgres
) -> None:
    url = database_server.url()
    async with simulated() as simulator, worker(simulator.url, url):
        await until_alive(url, 1)
        async with batch(simulator, url, tmp_path) as running:
            await running.until_kept(20)
            input_of(tmp_path, ["another text"] * 600)
            said = error(await running.task, "disk")
        assert "changed while it was read" in said
        assert query(url, "SELECT count(*) FROM ranges") == [(0,)]
        assert query(url, "SELECT count(*) >= 20 FROM records") == [(True,)]


async def test_what_every_row_would_meet_stops_the_run_with_its_reason(
    tmp_path: Path, database_server: Postgres
) -> None:
    url = database_server.url()
    async with (
        simulated() as simulator,
        # An Ollama without the model.
        Simulator(version="latest", models=["nomic-embed-text"]) as other,
        worker(other.url, url),
    ):
        await until_alive(url, 1)
        async with batch(simulator, url, tmp_path, rows=40) as running:
            said = error(await running.task, "model_not_found")
        assert "0 of 40 rows done" in said and MODEL in said


async def test_a_host_that_is_away_for_a_while_costs_no_row(tmp_path: Path, database_server: Postgres) -> None:
    url = database_server.url()
    async with simulated() as simulator, simulated() as other, worker(other.url, url) as one:
        await until_alive(url, 1)
        async with batch(simulator, url, tmp_path) as running:
            await running.until_kept(100)
            await other.stop()
            await until(lambda: any("goes back" in line for line in one.said), 60)
            await other.resume()
            assert (await running.ended())["done"] == 600
        assert running.written() == await running.alone()


async def test_files_are_sent_with_their_texts(tmp_path: Path, database_server: Postgres) -> None:
    url = database_server.url()
    for number in range(30):
        (tmp_path / f"{number:02}.md").write_text(f"note {number}", encoding="utf-8")
    async with simulated() as simulator, Simulator(version="latest") as other, worker(other.url, url):
        await until_alive(url, 1)
        async with connected(simulator.url, **shared(tmp_path, url)) as client:
            given = {"input": [str(tmp_path / "*.md")], "prompt": "Say {text}", "model": MODEL}
            found = data(await client.call_tool("ollama_batch", {**given, "output": str(tmp_path / "out.jsonl")}))
        assert found["done"] == 30
        assert sum(seen.path == "/api/chat" for seen in other.requests) == 30
        assert not any(seen.path == "/api/chat" for seen in simulator.requests)


@contextmanager
def pooler(url: str) -> Generator[str]:
    """The address of a database behind PgBouncer, in transaction mode, with few connections."""
    program = shutil.which("pgbouncer")
    if program is None:
        unavailable("there is no PgBouncer here")
    parts = urlsplit(url)
    database, server = parts.path.lstrip("/"), parse_qs(parts.query)["host"][0]
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        (folder / "users").write_text('"ollama" ""\n', encoding="utf-8")
        (folder / "ini").write_text(
            f"[databases]\n{database} = host={server} dbname={database}\n"
            f"[pgbouncer]\npool_mode = transaction\nlisten_addr =\nunix_socket_dir = {folder}\n"
            f"auth_type = trust\nauth_file = {folder / 'users'}\ndefault_pool_size = 5\nmax_client_conn = 200\n",
            encoding="utf-8",
        )
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        with (folder / "log").open("wb") as log:
            running = subprocess.Popen([program, "-q", *user, str(folder / "ini")], stdout=log, stderr=log)
        try:
            yield f"postgresql://ollama@/{database}?host={quote(name, safe='')}&port=6432"
        finally:
            running.terminate()
            running.wait(30)


async def test_behind_a_pooler_in_transaction_mode_all_of_it_works(tmp_path: Path, database_server: Postgres) -> None:
    with pooler(database_server.url()) as url:
        await until(lambda: _answers(url))
        async with simulated() as simulator, worker(simulator.url, url) as one, worker(simulator.url, url) as two:
            await until_alive(url, 2)
            async with batch(simulator, url, tmp_path) as running:
                await running.until_kept(150)
                await one.kill()
                assert (await running.ended())["done"] == 600
            assert not any("ERROR" in line for line in two.said)
            assert running.written() == await running.alone()


def _answers(url: str) -> bool:
    try:
        return bool(query(url, "SELECT 1"))
    except psycopg.OperationalError:
        return False
