"""What goes wrong in the middle of a batch: a clear error or a marked row, and nothing lost."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp.types import CallToolResult

from ollama_mcp.simulator import Answer, Fault, Simulator
from tests.support import data, error, texts, until
from tests.work.batch.batching import EMBEDDER, MODEL, Bench, batching

ROWS = [f"text {n}" for n in range(12)]
OUT = "out.jsonl"
# On a machine that does much else at the same time.
SECONDS = 60.0


@asynccontextmanager
async def held(bench: Bench, given: object, **more: object) -> AsyncGenerator[asyncio.Task[CallToolResult]]:
    """A batch whose first answers wait until the block is left."""
    gate = asyncio.Event()
    bench.simulator.script(MODEL, *[Answer(text="ok", hold=gate)] * 4)
    task = asyncio.create_task(bench.batch(given, **{"output": OUT, **more}))
    try:
        await until(lambda: len(bench.prompts()) == 4, SECONDS)
        yield task
    finally:
        gate.set()


def numbers(bench: Bench, name: str = OUT) -> list[int]:
    return [row["row"] for row in bench.rows(name)]


async def test_a_second_batch_on_the_same_output_is_refused_while_the_first_works(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path) as bench, batching(simulator, tmp_path) as other:
        async with held(bench, ROWS) as first:
            said = error(await other.batch(["other", "texts"], output=OUT), "busy")
            assert "at work on" in said and OUT in said
            said = error(await other.batch(ROWS, output="another.jsonl"), "busy")
        assert data(await first)["done"] == 12
        assert data(await other.batch(["a", "b"], output="another.jsonl"))["done"] == 2
    assert numbers(bench) == list(range(1, 13))


async def test_a_folder_that_is_gone_at_the_end_costs_no_row(bench: Bench):
    inner = bench.folder / "inner"
    inner.mkdir()
    async with held(bench, ROWS, output="inner/out.jsonl") as batch:
        shutil.rmtree(inner)
    said = error(await batch, "disk")
    assert "Stopped with 12 of 12 rows done, which are kept" in said
    report = await bench.report(ROWS, output=OUT)
    assert (report["done"], len(bench.prompts())) == (12, 12)
    assert "12 rows were done by an earlier call" in " ".join(report["notes"])


async def test_an_input_that_changes_while_it_is_read_is_never_mixed(bench: Bench):
    path = bench.write("in.txt", "".join(f"old {n}\n" for n in range(8)))
    async with held(bench, [path]) as batch:
        bench.write("in.txt", "".join(f"new {n}\n" for n in range(9)))
    said = error(await batch, "disk")
    assert "changed while it was read" in said and "starts over" in said
    assert "are kept" not in said and "resumes from there" not in said
    assert not (bench.folder / OUT).exists()
    asked = len(bench.prompts())
    report = await bench.report([path], output=OUT)
    assert report["done"] == 9
    assert len(bench.prompts()) == asked + 9


async def test_an_input_that_was_replaced_is_read_to_its_end_as_it_was(bench: Bench):
    path = bench.write("in.txt", "".join(f"old {n}\n" for n in range(8)))
    async with held(bench, [path]) as batch:
        other = bench.write("new.txt", "".join(f"new {n}\n" for n in range(9)))
        os.replace(other, path)
    assert data(await batch)["done"] == 8
    assert {prompt.split()[2] for prompt in bench.prompts()} == {"old"}


async def test_a_file_that_changes_before_its_turn_is_a_marked_row(bench: Bench):
    for n in range(6):
        bench.write(f"docs/{n}.md", f"old {n}")
    async with held(bench, [str(bench.folder / "docs/*.md")]) as batch:
        bench.write("docs/5.md", "new and longer")
        (bench.folder / "docs/4.md").unlink()
    report = data(await batch)
    assert (report["done"], report["failed"]) == (4, 2)
    assert "changed while the batch ran" in bench.rows()[5]["error"]["message"]


@pytest.mark.slow
async def test_a_host_that_dies_in_the_middle_loses_nothing(simulator: Simulator, tmp_path: Path):
    rows = [f"text {n}" for n in range(1_000)]
    async with batching(simulator, tmp_path) as bench:
        batch = asyncio.create_task(bench.batch(rows, output=OUT))
        await until(lambda: len(simulator.requests) > 700, SECONDS)
        await simulator.pause()
        simulator.faults.add(Fault("refuse"))
        result = await batch
        said = error(result, "unreachable")
        done = int(said.split("Stopped with ")[1].split(" of ")[0].replace(",", ""))
        assert 600 < done < 1_000 and "which are kept" in said and "The same call resumes" in said
        assert not (bench.folder / OUT).exists()
        simulator.faults.clear()
        await simulator.resume()
        report = await bench.report(rows, output=OUT)
        answered = sum(seen.path == "/api/chat" and seen.status == 200 for seen in simulator.requests)
    assert (report["done"], report["failed"]) == (1_000, 0)
    assert numbers(bench) == list(range(1, 1_001))
    # No more than those in flight twice.
    assert answered <= 1_004


async def test_a_host_that_is_away_for_a_moment_is_asked_again(bench: Bench):
    bench.simulator.faults.add(Fault("refuse", path="/api/chat", nth=3), Fault("unavailable", path="/api/chat", nth=5))
    report = await bench.report(ROWS, output=OUT)
    assert (report["done"], report["failed"]) == (12, 0)
    assert numbers(bench) == list(range(1, 13))


async def test_a_model_that_is_deleted_meanwhile_stops_the_batch_which_goes_on_once_it_is_back(
    simulator: Simulator, tmp_path: Path
):
    copy = {"source": MODEL, "destination": "mine"}
    rows = [f"text {n}" for n in range(300)]
    async with batching(simulator, tmp_path, policy={"delete": "allow"}) as bench:
        await bench.client.call_tool("ollama_copy_model", copy)
        batch = asyncio.create_task(bench.batch(rows, model="mine", output=OUT))
        await until(lambda: len(bench.prompts()) > 50, SECONDS)
        await bench.client.call_tool("ollama_delete_model", {"model": "mine"})
        said = error(await batch, "model_not_found")
        assert "Stopped with" in said and "which are kept" in said
        error(await bench.batch(rows, model="mine", output=OUT), "model_not_found")
        await bench.client.call_tool("ollama_copy_model", copy)
        report = await bench.report(rows, model="mine", output=OUT)
    assert (report["done"], report["failed"]) == (300, 0)
    assert numbers(bench) == list(range(1, 301))


async def test_a_cancelled_job_keeps_its_rows(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path, work={"parallel": 1}) as bench:
        gate = asyncio.Event()
        simulator.script(MODEL, *[Answer(text="ok")] * 3, Answer(text="late", hold=gate))
        begun = await bench.batch(ROWS, output=OUT, background=True)
        job = (begun.meta or {})["ollama-mcp-server/job"]["id"]
        await until(lambda: len(bench.prompts()) == 4, SECONDS)
        cancelled = await bench.client.call_tool("ollama_job", {"action": "cancel", "id": job})
        assert not cancelled.is_error, texts(cancelled)
        gate.set()
        report = await bench.report(ROWS, output=OUT)
    assert report["done"] == 12
    assert len(bench.prompts()) == 13
    assert "3 rows were done by an earlier call" in " ".join(report["notes"])


async def test_one_row_that_crashes_the_model_does_not_keep_the_others(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path, work={"parallel": 1}) as bench:
        crash = Answer(error="llama runner process has terminated: exit status 2")
        simulator.script(MODEL, Answer(text="ok"), crash, *[Answer(text="ok")] * 10, crash)
        report = await bench.report(ROWS, output=OUT)
    assert (report["done"], report["failed"]) == (11, 1)
    assert bench.rows()[1]["error"]["kind"] == "server_error"


async def test_rows_that_failed_are_asked_for_again_without_the_others(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path, work={"parallel": 1}) as bench:
        failing = [Answer(error="out of memory", status=500)] * 2
        bench.simulator.script(MODEL, Answer(text="one"), failing[0], Answer(text="three"), failing[1])
        first = await bench.report(["a", "b", "c"], output=OUT)
        assert (first["done"], first["failed"]) == (2, 1)
        assert any("retries only the 1 that failed" in note for note in first["notes"])
        asked = len(bench.prompts())
        again = await bench.report(["a", "b", "c"], output=OUT, overwrite=True)
        assert (again["done"], again["failed"]) == (3, 0)
        assert len(bench.prompts()) == asked + 1
        assert numbers(bench) == [1, 2, 3]


async def test_the_rows_of_a_finished_batch_are_no_longer_in_the_store(bench: Bench, tmp_path: Path):
    bench.simulator.script(MODEL, *[Answer(text="a very private answer")] * 2)
    await bench.report(["a", "b"], output=OUT)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "kept").iterdir())
    assert b"very private" not in kept


@pytest.mark.parametrize("moment", ["reading", "writing"])
async def test_a_call_that_is_given_up_while_it_reads_or_writes_leaves_nothing_behind(bench: Bench, moment: str):
    path = bench.write("in.csv", "text\n" + f"{'a long line ' * 1_000}\n" * 2_000)
    limit = {"limit": 2} if moment == "writing" else {}
    call = asyncio.create_task(bench.batch([path], prompt="Hi", output="out.csv", **limit))
    await until(lambda: any(said.startswith(moment) for said in bench.seen), SECONDS)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    # Whoever gave it up does not wait for it, so that its end is waited for here.
    await until(lambda: {entry.name for entry in bench.folder.iterdir()} <= {"in.csv", "out.csv"}, SECONDS)
    report = await bench.report([path], prompt="Hi", output="out.jsonl", limit=2)
    assert report["done"] == 2


async def test_a_folder_for_locks_that_cannot_be_had_is_told(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_DATA_HOME", str(blocked))
    said = error(await bench.batch(ROWS, output=OUT), "disk")
    assert "lock file" in said
    assert bench.prompts() == []


async def test_an_embedding_host_that_fails_for_a_text_is_asked_for_each_by_itself(bench: Bench):
    bench.simulator.faults.add(Fault("status", path="/api/embed", times=1, status=500, text="out of memory"))
    report = await bench.report(ROWS, embed=True, model=EMBEDDER, output="out.npy")
    assert (report["done"], report["failed"]) == (12, 0)
    sizes = [len(seen.json["input"]) for seen in bench.simulator.requests if seen.path == "/api/embed"]
    assert sizes == [12] + [1] * 12


async def test_a_busy_host_stops_the_batch_and_the_rows_that_it_refused_are_asked_again(
    simulator: Simulator, tmp_path: Path
):
    async with batching(simulator, tmp_path, work={"parallel": 2}) as bench:
        bench.simulator.faults.add(Fault("unavailable", path="/api/chat"))
        said = error(await bench.batch(ROWS, output=OUT), "busy")
        assert "Stopped with " in said
        bench.simulator.faults.clear()
        report = await bench.report(ROWS, output=OUT)
    assert (report["done"], report["failed"]) == (12, 0)


@pytest.mark.parametrize("levels", [200, 970])
async def test_a_row_nested_without_end_is_marked_and_sinks_no_other(bench: Bench, levels: int):
    deep = "[" * levels + "]" * levels
    path = bench.write("in.jsonl", f'{{"a": 1}}\n{{"a": {deep}}}\n{{"a": 2}}\n')
    report = await bench.report([path], prompt="Say {a}", output=OUT)
    assert (report["done"], report["failed"]) == (2, 1)
    assert "nested deeper" in bench.rows()[1]["error"]["message"]


async def test_an_answer_nested_without_end_is_marked_and_sinks_no_other(bench: Bench):
    bench.simulator.script(MODEL, *[Answer(text=["[" * 500 + "]" * 500])] * 4)
    report = await bench.report(["a", "b"], format="json")
    assert report["failed"] == 2
    assert "nested deeper" in report["errors"][0]["first"]


async def test_a_file_of_results_is_json_where_row_and_answer_have_numbers_that_are_none(bench: Bench):
    bench.simulator.script(MODEL, *[Answer(text='{"c": [1e400]}')] * 4)
    path = bench.write("in.jsonl", '{"a": NaN}\n{"a": -Infinity}\n')
    await bench.report([path], prompt="Say {a}", format="json", output=OUT)
    assert "NaN" not in (bench.folder / OUT).read_text() and "Infinity" not in (bench.folder / OUT).read_text()
    assert [row["input"] for row in bench.rows()] == [{"a": None}] * 2
