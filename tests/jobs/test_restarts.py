"""Jobs whose server is killed or stopped: the same id answers after the next start, and nothing is done twice."""

import asyncio
import json
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Simulator
from ollama_mcp.simulator.scheduler import Latency
from tests.jobs.processes import ServerProcess, started
from tests.jobs.support import JOB, MODEL, WORDS, job_of
from tests.store.support import query
from tests.support import data, texts, until

pytestmark = pytest.mark.slow

ROWS = 12


def project(folder: Path) -> Path:
    """A folder in which files may be read and written, with the rows of a batch."""
    (folder / "pyproject.toml").touch()
    rows = folder / "rows.jsonl"
    rows.write_text("".join(f'{{"text": "row number {row}"}}\n' for row in range(ROWS)))
    return rows


def batch(**more: Any) -> dict[str, Any]:
    """A batch of a request a row."""
    return {"input": ["rows.jsonl"], "prompt": "Say {text}", "model": MODEL, "output": "out.jsonl", **more}


def asked(simulator: Simulator) -> Counter[bytes]:
    """How often each row was asked for, by its prompt."""
    found: Counter[bytes] = Counter()
    for seen in simulator.requests:
        if seen.path in ("/api/chat", "/api/generate"):
            found[seen.body] += 1
    return found


async def begun(server: ServerProcess, simulator: Simulator, rows: int, **more: Any) -> str:
    """The job of a batch of which at least so many rows were asked for."""
    job = job_of(await server.call("ollama_batch", **batch(**more), background=True))
    await until(lambda: len(asked(simulator)) >= rows)
    return job


def written(folder: Path) -> list[int]:
    """The row numbers of the output."""
    return [json.loads(line)["row"] for line in (folder / "out.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("rows", [0, 4], ids=["between row and answer", "in mid-work"])
async def test_a_batch_goes_on_under_its_id_after_its_server_was_killed(tmp_path: Path, rows: int) -> None:
    project(tmp_path)
    store = tmp_path / "store.sqlite3"
    async with Simulator(latency=Latency(token=0.01)) as simulator:
        async with started(simulator, tmp_path, work__parallel=1) as server:
            # Its answer is not read: the row is there before it.
            server.send("tools/call", name="ollama_batch", arguments=batch(background=True))
            await until(lambda: store.exists() and has_job(store) and len(asked(simulator)) >= rows)
            await server.kill()
        ((job,),) = query(store, "SELECT id FROM jobs")
        async with started(simulator, tmp_path, work__parallel=1) as server:
            assert await server.ended(job) == "done"
            # Killed between result and get.
            await server.kill()
        async with started(simulator, tmp_path, work__parallel=1) as server:
            result = data(await server.call(JOB, action="result", id=job))
        assert (result["rows"], result["done"]) == (ROWS, ROWS)
        assert written(tmp_path) == list(range(1, ROWS + 1))
        # The row that was on its way when the server died is asked for again, and no other.
        assert len(asked(simulator)) == ROWS and sum(asked(simulator).values()) <= ROWS + 1


def has_job(store: Path) -> bool:
    """Whether there is a row of a job."""
    try:
        return query(store, "SELECT count(*) FROM jobs") != [(0,)]
    except sqlite3.OperationalError:
        # It is being made.
        return False


async def test_a_server_that_was_suspended_finds_its_job_taken_and_stops(tmp_path: Path) -> None:
    project(tmp_path)
    store = tmp_path / "store.sqlite3"
    async with (
        Simulator(latency=Latency(token=0.01)) as simulator,
        started(simulator, tmp_path, work__parallel=1) as first,
    ):
        job = await begun(first, simulator, 3)
        ((owner,),) = query(store, "SELECT owner FROM jobs")
        first.process.send_signal(signal.SIGSTOP)
        async with started(simulator, tmp_path, work__parallel=1) as second:
            # By the second one's own clock: nothing but time passes.
            await until(lambda: query(store, "SELECT owner FROM jobs") != [(owner,)], seconds=60)
            first.process.send_signal(signal.SIGCONT)
            assert await second.ended(job) == "done"
            result = data(await second.call(JOB, action="result", id=job))
            assert await first.ended(job) == "done"
        assert query(store, "SELECT fence, state FROM jobs") == [(2, "done")]
        assert (result["rows"], result["done"]) == (ROWS, ROWS)
        assert written(tmp_path) == list(range(1, ROWS + 1))
        # What the first one was waiting for when it lost the job is asked for again, and nothing else.
        assert len(asked(simulator)) == ROWS and sum(asked(simulator).values()) <= ROWS + 2


async def test_a_chat_that_died_with_its_server_is_cut_with_its_words(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite3"
    async with Simulator() as simulator:
        simulator.script(MODEL, Answer(text=WORDS, hold=asyncio.Event(), hold_after=2))
        async with started(simulator, tmp_path) as server:
            job = job_of(await server.call("ollama_chat", model=MODEL, prompt="Hi", background=True))
            await until(lambda: query(store, "SELECT text FROM jobs") == [("One two ",)])
            await server.kill()
        async with started(simulator, tmp_path) as server:
            result = await server.call(JOB, action="result", id=job)
            assert texts(result)[0] == "One two " and "Ended with its server" in texts(result)[1]
            assert (await server.row(job))["state"] == "cut"
