"""What a batch writes: JSON lines, tables and arrays; where; and what the agent hears of it."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy
import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.api.raw_server import Connection, RawRequest, by_path, response, serving, version
from tests.support import connected, data, error, texts, until
from tests.work.batch.batching import EMBEDDER, MODEL, Bench, batching, settings_of

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "points": {"type": "integer"}, "more": {"type": "object"}},
    "required": ["label", "points"],
}
TABLE = 'id,text\n1,"a, b"\n2,c\n'


def says(bench: Bench, *answers: object) -> None:
    """What the model answers, in order; to be used with one row at a time."""
    words = [answer if isinstance(answer, str) else json.dumps(answer) for answer in answers]
    bench.simulator.script(MODEL, *(Answer(text=text) for text in words))


async def test_typed_rows_are_values_in_jsonl(bench: Bench):
    report = await bench.report(["a", "b"], format=SCHEMA, output="out.jsonl")
    assert report["failed"] == 0
    assert all(set(row["output"]) >= {"label", "points"} for row in bench.rows())


async def test_typed_rows_are_columns_in_csv_beside_those_of_the_input(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path, work={"parallel": 1}) as bench:
        says(bench, {"label": "x;y", "points": -3, "more": {"deep": [1]}}, {"label": "=1+1", "points": 2})
        report = await bench.report([bench.write("in.csv", TABLE)], format=SCHEMA, output="out.csv", prompt="Judge")
    assert bench.table() == [
        {"id": "1", "text": "a, b", "label": "x;y", "points": "-3", "more": '{"deep": [1]}', "error": ""},
        {"id": "2", "text": "c", "label": "'=1+1", "points": "2", "more": "", "error": ""},
    ]
    assert "1 cells that a spreadsheet would run" in report["notes"][0]


async def test_cells_that_a_spreadsheet_would_run_get_an_apostrophe_but_numbers_do_not(bench: Bench):
    for said, cell in (("+1 234", "'+1 234"), ("-7.5", "-7.5"), ("@SUM(A1)", "'@SUM(A1)"), ("a=b", "a=b")):
        says(bench, said, said)
        await bench.report(["x", "y"], output="out.csv", overwrite=True)
        assert [row["output"] for row in bench.table()] == [cell, cell]


async def test_a_result_column_that_the_input_has_already_gets_another_name(bench: Bench):
    path = bench.write("in.csv", "output,error\n1,2\n")
    await bench.report([path], prompt="{output}", output="out.csv")
    (row,) = bench.table()
    assert list(row) == ["output", "error", "output.output", "output.error"]
    assert (row["output"], row["error"]) == ("1", "2")


async def test_lines_in_a_table_say_where_they_come_from(bench: Bench):
    await bench.report([bench.write("in.txt", "a\n\nb\n")], output="out.csv")
    assert [(row["row"], row["line"]) for row in bench.table()] == [("1", "1"), ("2", "3")]


async def test_a_schema_that_never_fits_is_an_error_of_its_row_after_a_second_try(bench: Bench):
    says(bench, *["no json"] * 6)
    report = await bench.report(["a", "b", "c"], format=SCHEMA, output="out.jsonl")
    assert (report["done"], report["failed"]) == (0, 3)
    assert [row["error"]["kind"] for row in bench.rows()] == ["bad_answer"] * 3
    assert len(bench.prompts()) == 6
    assert report["errors"][0]["rows"] == 3 and "does not fit the format" in report["errors"][0]["first"]


async def test_what_failed_once_is_tried_again_at_the_end(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path, work={"parallel": 1}) as bench:
        says(bench, "no json", {"label": "b", "points": 1}, {"label": "a", "points": 2})
        report = await bench.report(["a", "b"], format=SCHEMA, output="out.jsonl")
    assert (report["done"], report["failed"]) == (2, 0)
    assert [row["output"]["label"] for row in bench.rows()] == ["a", "b"]


async def test_a_row_that_was_cut_has_its_note(bench: Bench):
    report = await bench.report(["tell me a long story"] * 2, options={"num_predict": 3}, output="out.jsonl")
    assert all("Cut at num_predict=3" in row["notes"][0] for row in bench.rows())
    said = " ".join(report["notes"])
    assert "2 rows have notes: row 1, 2. Row 1: Cut at num_predict=3" in said
    assert "`notes` of each row has them" in said


async def test_vectors_are_an_array_that_numpy_reads(bench: Bench):
    report = await bench.report(["a", " ", "c"], embed=True, model=EMBEDDER, output="out.npy")
    array = numpy.load(io.BytesIO((bench.folder / "out.npy").read_bytes()))
    assert array.shape == (3, 768) and array.dtype == numpy.dtype("<f4")
    assert [bool(numpy.isnan(row).all()) for row in array] == [False, True, False]
    assert not numpy.isnan(array[[0, 2]]).any()
    assert report["failed"] == 1 and "NaN" in " ".join(report["notes"])
    assert report["prompt_tokens"] > 0


async def test_vectors_as_lines_of_json_are_those_of_the_array(bench: Bench):
    texts_of = [f"text number {n}" for n in range(150)]
    await bench.report(texts_of, embed=True, model=EMBEDDER, output="out.npy")
    await bench.report(texts_of, embed=True, model=EMBEDDER, output="out.jsonl")
    array = numpy.load(io.BytesIO((bench.folder / "out.npy").read_bytes()))
    for row, vector in zip(bench.rows(), array, strict=True):
        assert row["embedding"] == pytest.approx(vector.tolist(), rel=1e-6)
    sizes = [len(seen.json["input"]) for seen in bench.simulator.requests if seen.path == "/api/embed"]
    assert sorted(sizes[:3]) == [22, 64, 64]


async def test_a_text_too_long_to_embed_is_its_own_error_and_not_that_of_its_neighbours(bench: Bench):
    report = await bench.report(["a", "word " * 20_000, "c"], embed=True, model=EMBEDDER, output="out.npy")
    assert (report["done"], report["failed"]) == (2, 1)
    assert report["errors"][0]["kind"] == "too_long"


async def test_a_vector_that_32_bits_cannot_hold_is_an_error_of_its_row(tmp_path: Path):
    async def embed(request: RawRequest, connection: Connection) -> None:
        texts_of = json.loads(request.body)["input"]
        rows = ["[1e39, 0.0]" if text == "huge" else "[1.0, 0.0]" for text in texts_of]
        answer = f'{{"model": "m", "embeddings": [{", ".join(rows)}], "prompt_eval_count": {3 * len(rows) + 1}}}'
        await response(answer)(request, connection)

    model = {"name": "m:latest", "model": "m:latest", "digest": "0" * 64, "size": 1}
    host = by_path(
        show=response(json.dumps({"capabilities": ["embedding"]})),
        tags=response(json.dumps({"models": [model]})),
        version=version("0.33.0"),
        embed=embed,
    )
    settings = settings_of(tmp_path, tmp_path)
    async with serving(host) as raw, connected(raw.url, **settings) as client:
        call = {"embed": True, "model": "m", "output": "out.jsonl"}
        report = data(await client.call_tool("ollama_batch", {"input": ["a", "huge", "c"], **call}))
        assert (report["done"], report["errors"][0]["kind"]) == (2, "bad_answer")
        # Shares of what was read together are whole numbers, and lose nothing.
        call["output"] = "even.jsonl"
        report = data(await client.call_tool("ollama_batch", {"input": ["a", "b", "c"], **call}))
    assert report["prompt_tokens"] == 10


async def test_a_template_says_what_is_embedded(bench: Bench):
    path = bench.write("in.csv", "title,body\nA,b\n")
    await bench.report([path], embed=True, prompt="{title}: {body}", model=EMBEDDER, output="out.npy")
    (embedded,) = [seen.json for seen in bench.simulator.requests if seen.path == "/api/embed"]
    assert embedded["input"] == ["A: b"]


QUESTIONS = [
    {"name": "mood", "type": "choice", "question": "Which mood?", "labels": ["good", "bad"]},
    {"name": "ok", "type": "yes_no", "question": "Is it fine?"},
]


async def test_questions_are_answered_for_each_row(bench: Bench):
    path = bench.write("in.csv", TABLE)
    bench.simulator.script(MODEL, *[Answer(text=["A"], chances=[{"A": 0.8, "B": 0.2}])] * 4)
    report = await bench.report([path], questions=QUESTIONS, prompt="{text}", output="out.csv")
    for row in bench.table():
        assert (row["mood"], row["ok"]) == ("good", "yes")
        assert 0 < float(row["ok.confidence"]) < 1
        assert (row["mood.probability"], row["ok.probability"]) == ("0.8", "0.8")
        assert json.loads(row["mood.probabilities"]) == {"good": 0.8, "bad": 0.2}
        assert (row["mood.note"], row["error"]) == ("", "")
    assert any(note.startswith("confidence: how concentrated") for note in report["notes"])
    await bench.report([path], questions=QUESTIONS, output="out.jsonl")
    assert [set(row["output"]) for row in bench.rows()] == [{"mood", "ok"}] * 2


async def test_a_table_of_verdicts_has_the_score_and_the_note(bench: Bench):
    levels = [{"name": "heat", "question": "How angry?", "levels": ["calm", "angry"]}]
    bench.simulator.script(MODEL, Answer(text=["A"], chances=[{"A": 0.3, "B": 0.1, "The": 0.6}]))
    await bench.report([bench.write("in.txt", "one")], questions=levels, output="out.csv")
    (row,) = bench.table()
    assert (row["heat"], row["heat.score"], row["heat.probability"]) == ("calm", "0.25", "0.75")
    assert "Only 40 % of the model's probability" in row["heat.note"]


async def test_verdicts_without_probabilities_leave_their_columns_empty(bench: Bench):
    bench.simulator.script(MODEL, Answer(text="Well"), Answer(text="Well"), Answer(text='{"mood": "bad", "ok": "no"}'))
    report = await bench.report([bench.write("in.txt", "one")], questions=QUESTIONS, output="out.csv")
    (row,) = bench.table()
    assert (row["mood"], row["ok"], row["ok.probability"], row["ok.probabilities"]) == ("bad", "no", "", "")
    assert not any(note.startswith("confidence") for note in report["notes"])


async def test_a_wrong_question_is_refused_before_anything_runs(bench: Bench):
    wrong = [{"name": "mood", "type": "choice", "question": "Which?", "labels": ["one"]}]
    error(await bench.batch(["a", "b"], questions=wrong, output="out.jsonl"), "invalid_argument")
    assert os.listdir(bench.folder) == []


async def test_the_agent_hears_counts_samples_and_the_path_but_not_the_rows(bench: Bench):
    says(bench, *[" ".join(f"word{n}" for n in range(200))] * 30)
    result = await bench.batch([f"text {n}" for n in range(30)], output="out.jsonl")
    report = data(result)
    words = texts(result)[0]
    assert (report["rows"], report["done"]) == (30, 30)
    assert report["output"] == str(bench.folder / "out.jsonl")
    assert [sample["row"] for sample in report["samples"]] == [1, 2, 3]
    assert all(len(sample["output"]) <= 201 for sample in report["samples"])
    assert report["tokens"] > 0 and report["prompt_tokens"] > 0 and report["rows_per_second"] > 0
    assert len(words) < 2_000 and "30 of 30 rows done" in words and report["output"] in words


async def test_progress_says_how_many_how_fast_and_how_long(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path) as bench:
        bench.simulator.script(MODEL, *[Answer(text="ok", first_delay=0.1)] * 12)
        await bench.report([f"text {n}" for n in range(12)], output="out.jsonl")
    assert any(" of 12, " in said and "/s, " in said and said.endswith("left") for said in bench.seen)


async def test_a_trial_does_the_first_rows_and_the_whole_goes_on_from_them(bench: Bench):
    path = bench.write("in.txt", "".join(f"line {n}\n" for n in range(30)))
    trial = await bench.report([path], limit=5, output="trial.jsonl")
    assert (trial["rows"], trial["done"]) == (30, 5)
    assert "A trial: the first 5 of 30 rows" in " ".join(trial["notes"])
    whole = await bench.report([path], output="out.jsonl")
    assert whole["done"] == 30
    assert len(bench.prompts()) == 30
    assert bench.rows()[:5] == bench.rows("trial.jsonl")


async def test_what_is_done_is_forgotten_so_that_the_same_call_works_anew(bench: Bench):
    for name in ("a.jsonl", "b.jsonl"):
        await bench.report(["x", "y"], output=name)
    assert len(bench.prompts()) == 4


async def test_an_existing_file_is_replaced_only_where_overwrite_says_so(bench: Bench):
    bench.write("out.jsonl", "precious\n")
    said = error(await bench.batch(["a", "b"], output="out.jsonl"), "invalid_argument")
    assert "overwrite" in said
    assert (bench.folder / "out.jsonl").read_text() == "precious\n"
    assert bench.prompts() == []
    await bench.report(["a", "b"], output="out.jsonl", overwrite=True)
    assert len(bench.rows()) == 2


REFUSED = [
    ("out.py", "invalid_argument"),
    ("out.npy", "invalid_argument"),
    ("out", "invalid_argument"),
    (".hidden/out.jsonl", "not_allowed"),
    ("/etc/out.jsonl", "not_allowed"),
    ("no/such/out.jsonl", "invalid_argument"),
    ("a\nb.jsonl", "invalid_argument"),
    ("x" * 300 + ".jsonl", "invalid_argument"),
]


async def test_an_output_that_may_not_be_is_refused_before_the_first_row(bench: Bench):
    (bench.folder / ".hidden").mkdir()
    for output, kind in REFUSED:
        error(await bench.batch(["a", "b"], output=output), kind)
    assert bench.prompts() == []
    assert os.listdir(bench.folder) == [".hidden"]


@pytest.mark.parametrize("what", ["the folder is gone", "a folder has the name", "a file has the name"])
async def test_an_output_that_cannot_be_written_at_the_end_costs_no_row(
    what: str, simulator: Simulator, tmp_path: Path
):
    hold, results = asyncio.Event(), tmp_path / "data" / "results"
    simulator.script(MODEL, Answer("1"), Answer("2", hold=hold))
    async with batching(simulator, tmp_path, work={"parallel": 1}) as bench:
        results.mkdir()
        asked = {"output": "results/out.jsonl", "overwrite": what == "a folder has the name"}
        call = asyncio.create_task(bench.batch(["a", "b"], **asked))
        await until(lambda: len(bench.prompts()) == 2)
        if what == "the folder is gone":
            results.rmdir()
        elif what == "a folder has the name":
            (results / "out.jsonl").mkdir()
        else:
            (results / "out.jsonl").write_text("another's", encoding="utf-8")
        hold.set()
        said = error(await call, "invalid_argument" if what == "a file has the name" else "disk")
        assert said.partition("] ")[2].startswith("Stopped with 2 of 2 rows done, which are kept:"), said
        assert "The same call resumes from there." in said
        if what == "the folder is gone":
            results.mkdir()
        elif what == "a folder has the name":
            (results / "out.jsonl").rmdir()
        else:
            assert "nothing was done" not in said and (results / "out.jsonl").read_text() == "another's"
            asked["overwrite"] = True
        assert (await bench.report(["a", "b"], **asked))["done"] == 2
        assert [row["output"] for row in bench.rows("results/out.jsonl")] == ["1", "2"]
        assert len(bench.prompts()) == 2


async def test_half_a_surrogate_pair_in_a_row_is_that_rows_error(bench: Bench):
    path = bench.write("in.jsonl", '{"a": "\\ud83d", "b": 1}\n{"a": "x"}\n')
    report = await bench.report([path], prompt="{a}", output="out.jsonl")
    assert (report["done"], report["failed"]) == (1, 1)
    assert bench.rows()[0]["input"]["b"] == 1
    await bench.report([path], prompt="{a}", output="out.csv")


async def test_a_cloud_model_is_used_only_where_the_settings_allow_batches(simulator: Simulator, tmp_path: Path):
    cloud = "gpt-oss:120b-cloud"
    for policy, name in ((None, "cloud_batch"), ({"cloud_batch": "allow"}, "cloud_files")):
        settings = {} if policy is None else {"policy": policy}
        async with batching(simulator, tmp_path, **settings) as bench:
            path = bench.write("in.txt", "a\nb\n")
            said = error(await bench.batch([path], model=cloud, output="out.jsonl"), "not_allowed")
            assert f"policy.{name}" in said
            assert bench.prompts() == []
    async with batching(simulator, tmp_path, policy={"cloud_batch": "allow"}) as bench:
        report = await bench.report(["a", "b"], model=cloud, output="out.jsonl")
    assert report["done"] == 2


async def test_a_store_in_memory_is_said_to_forget(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path, store={"path": ":memory:"}) as bench:
        report = await bench.report([str(n) for n in range(21)], output="out.jsonl")
    assert "starts over" in " ".join(report["notes"])


async def test_read_only_servers_do_not_offer_it(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path, read_only=True) as bench:
        assert "ollama_batch" not in [tool.name for tool in (await bench.client.list_tools()).tools]


async def test_numbers_of_progress_only_grow(bench: Bench):
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    arguments = {"input": ["a", "b", "c"], "prompt": "{text}", "model": MODEL, "output": "out.jsonl"}
    await bench.client.call_tool("ollama_batch", arguments, progress_callback=note)
    assert seen and all(later > earlier for earlier, later in itertools.pairwise(seen))
    assert not any(math.isnan(value) for value in seen)
