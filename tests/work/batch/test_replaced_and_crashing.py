"""A model that is replaced while a batch runs, and an engine that dies at each request: it stops and says why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.simulator import Answer, Fault, Simulator
from tests.support import connected, data, error, until
from tests.work.batch.batching import EMBEDDER, MODEL, Bench, batching

ROWS = [f"text {n}" for n in range(12)]
OUT = "out.jsonl"
SECONDS = 60.0
CRASH = "llama runner process has terminated: exit status 2"
QUESTIONS = [{"name": "good", "type": "yes_no", "question": "Is it good?"}]


def put(simulator: Simulator, source: str, name: str = "mine") -> str:
    """Give a name to a model, as an upgrade does; its short digest."""
    model = simulator.store.find(source)
    assert model is not None
    simulator.store.add(model.renamed(parse_name(name)))
    return model.digest[:12]


async def _half_done(bench: Bench, job_rows: int = 3) -> None:
    """A batch that was given up after some rows."""
    gate = asyncio.Event()
    bench.simulator.script("mine", *[Answer(text="ok")] * job_rows, Answer(text="late", hold=gate))
    begun = await bench.batch(ROWS, model="mine", output=OUT, background=True)
    job = (begun.meta or {})["ollama-mcp-server/job"]["id"]
    await until(lambda: len(bench.prompts()) == job_rows + 1, SECONDS)
    await bench.client.call_tool("ollama_job", {"action": "cancel", "id": job})
    gate.set()


async def test_a_model_that_is_replaced_meanwhile_stops_the_batch_with_both_digests(bench: Bench):
    old = put(bench.simulator, MODEL)
    gate = asyncio.Event()
    bench.simulator.script("mine", *[Answer(text="ok", hold=gate)] * 4)
    batch = asyncio.create_task(bench.batch(ROWS, model="mine", output=OUT))
    await until(lambda: len(bench.prompts()) == 4, SECONDS)
    new = put(bench.simulator, "qwen3:4b")
    gate.set()
    said = error(await batch, "interrupted")
    assert f"digest {old} before, {new} now" in said and "processes all rows again" in said
    assert "resumes from there" not in said and not (bench.folder / OUT).exists()
    # Rows of which nobody knows which model they are of are not taken up once the former model is back.
    asked = len(bench.prompts())
    put(bench.simulator, MODEL)
    assert (await bench.report(ROWS, model="mine", output=OUT))["done"] == 12
    assert len(bench.prompts()) == asked + 12


@pytest.mark.slow
async def test_the_model_is_looked_at_every_five_hundred_rows(bench: Bench):
    put(bench.simulator, MODEL)
    rows = [f"text {n}" for n in range(1_200)]
    batch = asyncio.create_task(bench.batch(rows, model="mine", output=OUT))
    await until(lambda: len(bench.prompts()) > 550, SECONDS)
    put(bench.simulator, "qwen3:4b")
    said = error(await batch, "interrupted")
    done = int(said.split("Stopped with ")[1].split(" of ")[0].replace(",", ""))
    assert 500 <= done <= 510 and len(bench.prompts()) < 1_200
    put(bench.simulator, MODEL)
    report = await bench.report(rows, model="mine", output=OUT)
    assert report["done"] == 1_200
    assert f"{done:,} rows were done by an earlier call" in " ".join(report["notes"])


async def test_a_resume_after_an_upgrade_says_that_it_begins_anew(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path, work={"parallel": 1}) as bench:
        old = put(simulator, MODEL)
        await _half_done(bench)
        new = put(simulator, "gemma3:4b")
        report = await bench.report(ROWS, model="mine", output=OUT)
    (said,) = [note for note in report["notes"] if "was replaced since an earlier call" in note]
    assert f"digest {old} before, {new} now" in said and "3 rows are not used" in said
    assert report["done"] == 12


async def test_an_engine_that_dies_at_each_request_is_given_up_and_the_batch_goes_on_later(bench: Bench):
    rows = [f"text {n}" for n in range(300)]
    for fault in (
        Fault("status", path="/api/chat", status=500, text=CRASH),
        Fault("status", path="/api/chat", status=500, text="model failed to load, this may be due to resource limits"),
        Fault(
            "status", path="/api/chat", status=500, text='POST predict: Post "http://127.0.0.1:4021/completion": EOF'
        ),
        Fault("status", path="/api/chat", status=500, text="model requires more system memory (9 GiB) than available"),
    ):
        bench.simulator.faults.add(fault)
        before = len(bench.prompts())
        said = error(await bench.batch(rows, output=OUT), "server_error")
        assert "Stopped with 0 of 300 rows done" in said and "The same call resumes" in said
        assert len(bench.prompts()) - before <= 16
        bench.simulator.faults.clear()
    report = await bench.report(rows, output=OUT)
    assert (report["done"], report["failed"]) == (300, 0)


async def test_a_few_rows_at_which_the_engine_dies_are_no_success(bench: Bench):
    bench.simulator.faults.add(Fault("status", path="/api/chat", status=500, text=CRASH))
    assert "Stopped with 0 of 4" in error(await bench.batch(ROWS[:4]), "server_error")


async def test_a_row_that_kills_the_engine_is_one_error_row_also_beside_others(bench: Bench):
    bench.simulator.script(MODEL, Answer(text="ok"), *[Answer(error=CRASH)] * 3, *[Answer(text="ok")] * 8)
    bench.simulator.script(MODEL, Answer(text="ok"), Answer(error=CRASH), Answer(text="ok"))
    report = await bench.report(ROWS, output=OUT)
    assert (report["done"], report["failed"]) == (11, 1)
    assert [row["error"]["kind"] for row in bench.rows() if "error" in row] == ["server_error"]


async def test_an_engine_that_dies_at_each_text_is_given_up_while_embedding(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path, limits={"embed_chunk": 8}, work={"parallel": 2}) as bench:
        simulator.faults.add(Fault("status", path="/api/embed", status=500, text=CRASH))
        call = {"embed": True, "model": EMBEDDER, "output": "out.npy"}
        rows = [f"text {n}" for n in range(400)]
        assert "which are kept" in error(await bench.batch(rows, **call), "server_error")
        assert sum(seen.path == "/api/embed" for seen in simulator.requests) <= 40
        simulator.faults.clear()
        assert (await bench.report(rows, **call))["done"] == 400


async def test_decisions_give_an_engine_up_too(simulator: Simulator):
    texts = [f"text {n}" for n in range(60)]
    simulator.faults.add(Fault("status", path="/api/chat", status=500, text=CRASH))
    async with connected(simulator.url) as client:
        arguments = {"questions": QUESTIONS, "texts": texts, "model": MODEL}
        error(await client.call_tool("ollama_decide", arguments), "server_error")
        asked = sum(seen.path == "/api/chat" for seen in simulator.requests)
        assert asked <= 16
        simulator.faults.clear()
        assert len(data(await client.call_tool("ollama_decide", arguments))["rows"]) == 60


async def test_decisions_of_two_models_are_not_mixed(simulator: Simulator):
    old = put(simulator, MODEL)
    gate = asyncio.Event()
    simulator.script("mine", *[Answer(text="A", hold=gate)] * 4)
    async with connected(simulator.url) as client:
        arguments = {"questions": QUESTIONS, "texts": [f"text {n}" for n in range(30)], "model": "mine"}
        deciding = asyncio.create_task(client.call_tool("ollama_decide", arguments))
        await until(lambda: sum(seen.path == "/api/chat" for seen in simulator.requests) >= 4, SECONDS)
        new = put(simulator, "gemma3:4b")
        gate.set()
        said = error(await deciding, "interrupted")
    assert old in said and new in said
