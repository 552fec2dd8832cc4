"""A batch whose rows are worked on by workers: the same file as from one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from ollama_mcp.simulator import Simulator
from tests.fleet.postgres import Postgres
from tests.fleet.workers import input_of, query, shared, until_alive, worker
from tests.support import connected, data
from tests.work.batch.batching import MODEL, settings_of


def chats(simulator: Simulator) -> list[object]:
    """The chats that a simulated Ollama was asked for."""
    return [seen for seen in simulator.requests if seen.path == "/api/chat"]


@pytest.mark.slow
async def test_two_workers_write_the_same_file_as_one_process(
    simulator: Simulator, tmp_path: Path, database_server: Postgres
) -> None:
    given = input_of(tmp_path, [f"text number {n}" for n in range(2_000)])
    ask = {"input": [str(given)], "prompt": "Say {text}", "model": MODEL, "options": {"num_predict": 16, "seed": 1}}
    async with connected(simulator.url, **settings_of(tmp_path, tmp_path)) as client:
        alone = data(await client.call_tool("ollama_batch", {**ask, "output": str(tmp_path / "alone.jsonl")}))
    url, asked = database_server.url(), len(chats(simulator))
    async with (
        Simulator(version="latest") as other,
        worker(other.url, url, "--lanes", "8", lost_seconds=60) as one,
        worker(other.url, url, "--lanes", "8", lost_seconds=60) as two,
    ):
        await until_alive(url, 2)
        async with connected(simulator.url, **shared(tmp_path, url, lost_seconds=60)) as client:
            found = data(await client.call_tool("ollama_batch", {**ask, "output": str(tmp_path / "out.jsonl")}))
            assert found["done"] == alone["done"] == 2_000
        assert (len(chats(other)), len(chats(simulator)) - asked) == (2_000, 0)
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "alone.jsonl").read_bytes()
    assert len(chats(simulator)) == asked
    assert await one.ended() == await two.ended() == 0
    assert query(url, "SELECT (SELECT count(*) FROM ranges), (SELECT count(*) FROM procrastinate_jobs)") == [(0, 0)]
