"""Batches whose number of requests at a time is measured: with their own rows, each asked once, and kept."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.api import OllamaClient
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.simulator import Answer, Latency, Simulator
from ollama_mcp.store import Store, Tuning
from tests.cli.support import run
from tests.support import until
from tests.work.batch.batching import MODEL, batching

AUTO: dict[str, Any] = {"work": {"parallel": "auto"}}
ROWS = [f"text {number}" for number in range(620)]


def in_flight(simulator: Simulator) -> int:
    """Requests that the model works on, or that wait for it."""
    return sum(runner.active for runner in simulator.machine.scheduler.running())


async def kept(simulator: Simulator, tmp_path: Path) -> Tuning | None:
    """What the store holds of the model."""
    store = Store(tmp_path / "kept" / "store.sqlite3")
    try:
        return await store.tunings.find(simulator.url, parse_name(MODEL).key, await digest(simulator))
    finally:
        await store.aclose()


async def digest(simulator: Simulator) -> str:
    """The model's digest."""
    async with OllamaClient(simulator.url) as client:
        return next(model.digest for model in await client.tags() if model.name == MODEL)


@pytest.mark.slow
async def test_a_large_batch_measures_with_its_rows_and_the_next_one_knows(tmp_path: Path):
    async with (
        Simulator(num_parallel=4, latency=Latency(token=0.005)) as simulator,
        batching(simulator, tmp_path, **AUTO) as bench,
    ):
        path = bench.write("rows.txt", "\n".join(ROWS))
        given: dict[str, Any] = {"options": {"num_predict": 4}, "output": "out.jsonl"}
        report = await bench.report([path], **given)
        assert (report["done"], report["failed"]) == (620, 0)
        # Each row was asked once, and its answer is kept.
        assert len(bench.prompts()) == len(set(bench.prompts())) == 620
        assert [row["row"] for row in bench.rows()] == list(range(1, 621))
        assert simulator.machine.scheduler.loads == 1
        tuning = await kept(simulator, tmp_path)
        assert tuning is not None and list(tuning.steps)[:2] == [1, 2]
        (note,) = [note for note in report["notes"] if "at a time" in note]
        assert note.startswith(f"{tuning.parallel} request")
        again = await bench.report([path], **given, overwrite=True)
        assert not [note for note in again["notes"] if "at a time" in note]


async def test_what_was_measured_is_used_and_another_model_of_the_name_is_not_it(simulator: Simulator, tmp_path: Path):
    (tmp_path / "kept").mkdir()
    simulator.script(MODEL, *[Answer(text="ok", hold="go")] * 12)
    store = Store(tmp_path / "kept" / "store.sqlite3")
    await store.tunings.keep(simulator.url, parse_name(MODEL).key, await digest(simulator), Tuning(2, "slots", 2))
    await store.tunings.keep(simulator.url, parse_name(MODEL).key, "0" * 64, Tuning(9, "none"))
    await store.aclose()
    await held(simulator, tmp_path, 2)


async def test_a_small_batch_measures_nothing(simulator: Simulator, tmp_path: Path):
    simulator.script(MODEL, *[Answer(text="ok", hold="go")] * 12)
    await held(simulator, tmp_path, 4)
    assert await kept(simulator, tmp_path) is None


async def held(simulator: Simulator, tmp_path: Path, parallel: int) -> None:
    """Run a batch of 12 held rows, of which just so many are out at a time."""

    async with batching(simulator, tmp_path, **AUTO) as bench, OllamaClient(simulator.url) as client:
        batch = asyncio.create_task(bench.report([f"text {number}" for number in range(12)]))
        await until(lambda: in_flight(simulator) == parallel)
        await client.version()
        assert in_flight(simulator) == parallel
        simulator.release("go")
        assert (await batch)["failed"] == 0


@pytest.mark.slow
async def test_a_failing_host_ends_the_measuring_and_nothing_is_lost(tmp_path: Path):
    async with Simulator(num_parallel=64) as simulator, batching(simulator, tmp_path, **AUTO) as bench:
        simulator.script(
            MODEL,
            *[Answer(text="ok")] * 5,
            Answer(error="llama runner process has terminated: signal: killed", status=500),
        )
        path = bench.write("rows.txt", "\n".join(ROWS))
        report = await bench.report([path], options={"num_predict": 4}, output="out.jsonl")
        assert (report["done"], report["failed"]) == (620, 0)
        assert not [note for note in report["notes"] if "at a time" in note]
        assert len(bench.rows()) == 620


@pytest.mark.slow
async def test_the_command_measures_prints_and_keeps(tmp_path: Path):
    (tmp_path / "kept").mkdir()
    async with Simulator(num_parallel=2, latency=Latency(token=0.003)) as simulator:
        store = f"store.path={tmp_path / 'kept' / 'store.sqlite3'}"
        done = await run("tune", "--model", MODEL, "--set", store, OLLAMA_HOST=simulator.url)
        assert done.code == 0, done.err
        assert MODEL in done.out and re.search(r"^ +1 +\d", done.out, re.MULTILINE)
        tuning = await kept(simulator, tmp_path)
        assert tuning is not None and f"{tuning.parallel} request" in done.out
        chats = [seen.json for seen in simulator.requests if seen.path == "/api/chat"]
        texts = [str(chat["messages"]) for chat in chats]
        assert len(texts) == len(set(texts))
        assert simulator.machine.scheduler.loads == 1


async def test_the_command_says_what_it_cannot_measure(simulator: Simulator):
    done = await run("tune", "--model", "not-there", OLLAMA_HOST=simulator.url)
    assert done.code == 2 and "not-there" in done.err
