"""Jobs whose server is killed or stopped: the same id answers after the next start, and nothing is done twice."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Simulator
from ollama_mcp.simulator.scheduler import Latency
from tests.jobs.processes import ServerProcess, started
from tests.jobs.support import JOB, MODEL, job_of
from tests.support import data, until

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


async def test_a_batch_goes_on_under_its_id_after_its_server_was_killed(tmp_path: Path) -> None:
    project(tmp_path)
    async with Simulator(latency=Latency(token=0.01)) as simulator:
        async with started(simulator, tmp_path, work__parallel=1) as server:
            job = await begun(server, simulator, 5)
            await server.kill()
        async with started(simulator, tmp_path, work__parallel=1) as server:
            assert await server.ended(job) == "done"
            result = data(await server.call(JOB, action="result", id=job))
        assert (result["rows"], result["done"]) == (ROWS, ROWS)
        assert written(tmp_path) == list(range(1, ROWS + 1))
        # The row that was on its way when the server died is asked for again, and no other.
        assert len(asked(simulator)) == ROWS and sum(asked(simulator).values()) <= ROWS + 1
