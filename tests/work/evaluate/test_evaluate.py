"""An evaluation end to end over HTTP: what it finds, what it says of failures, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.simulator import Answer, Fault, Simulator
from tests.support import data, error, text, until
from tests.work.evaluate.evaluating import LABELS, LARGE, MIDDLE, SMALL, evaluating, tickets

SECONDS = 60.0


@pytest.mark.slow
async def test_the_right_model_is_found_over_http_with_half_the_calls(tmp_path: Path) -> None:
    found: Counter[str] = Counter()
    calls = 0
    async with evaluating(tmp_path, {SMALL: 0.80, MIDDLE: 0.86, LARGE: 0.96}) as desk:
        for seed in range(5):
            report = await desk.report(desk.table(tickets(400, first=1_000 * seed)))
            found[report.get("model", "")] += 1
            calls += sum(row["examples"] for row in report["models"])
    assert found[LARGE] >= 4 and not found[SMALL] + found[MIDDLE]
    assert calls <= 0.5 * 5 * 400 * 3


async def test_where_the_examples_do_not_tell_it_says_how_many_would(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 0.93}) as desk:
        said = text(await desk.evaluate(desk.table(tickets(100))))
    assert said.startswith(f"Can't tell yet whether {SMALL} reaches 90 %: ")
    assert "examples would." in said.partition("\n")[0] and "100 of 100 examples" in said


async def test_where_none_reaches_the_goal_the_best_is_named(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 0.2, MIDDLE: 0.75}) as desk:
        report = await desk.report(desk.table(tickets(200)))
    assert report["verdict"].startswith(f"None reaches 90 % here; the best is {MIDDLE}, ")
    assert "model" not in report and report["about"] == MIDDLE


async def test_a_table_of_confusions_and_the_rows_that_failed_without_their_content(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 0.7}) as desk:
        path = desk.table(tickets(120))
        hidden = await desk.report(path)
        shown = await desk.report(path, show_failures=True)
        lines = text(await desk.evaluate(path)).split("\n")
    assert {(one["expected"], one["answered"]) for one in hidden["confusions"]} == {
        (a, b) for a in LABELS for b in LABELS
    }
    assert sum(one["examples"] for one in hidden["confusions"]) == hidden["models"][0]["examples"]
    failures = hidden["failures"]
    assert len(failures) == 5 and all({*one} == {"row", "probability"} for one in failures)
    # Those it was surest of come first.
    chances = [one["probability"] for one in failures]
    assert chances == sorted(chances, reverse=True)
    for one in shown["failures"]:
        assert one["input"] == f"Ticket {one['row'] - 1} [[{one['expected']}]]" and one["answered"] != one["expected"]
    assert f"Confusions of {SMALL}, what was expected by what was answered:" in lines
    assert " | billing | tech" in lines


async def test_the_fields_that_fail_are_named_the_worst_first(tmp_path: Path) -> None:
    wanted = [{"city": city, "year": year} for city, year in zip(["Rome", "Oslo"] * 20, range(40), strict=True)]
    rows = [{"text": f"[[{json.dumps(one)}]]", "expected": one} for one in wanted]
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "year": {"type": "integer"}}}
    async with evaluating(tmp_path, {SMALL: 0.5}) as desk:
        path = desk.table(rows, "examples.jsonl")
        report = await desk.report(path, prompt="City and year as JSON: {text}", format=schema)
    city, year = report["fields"]
    assert (city["field"], year["field"], year["right"]) == ("city", "year", year["examples"])
    assert 0 < city["right"] < city["examples"] and report["metric"] == "fields"


async def test_a_judge_is_itself_held_to_what_is_expected_first(tmp_path: Path) -> None:
    rows = [{"text": f"Say {n}", "expected": f"It is {n}"} for n in range(10)]
    async with evaluating(tmp_path, {SMALL: 1.0, LARGE: 1.0}, work={"parallel": 1}) as desk:
        path = desk.table(rows)
        # Its own answers are right, those of others wrong; it says yes to each tenth that is wrong.
        verdicts = [Answer(text=["A" if n % 2 == 0 or n == 1 else "B"]) for n in range(20)]
        judged = [Answer(text=["A" if n != 3 else "B"]) for n in range(10)]
        for answer in verdicts + judged:
            letter = answer.text[0]
            desk.simulator.script(LARGE, Answer(text=[letter], chances=[{letter: 0.95}]))
        more = {"prompt": "{text}", "models": [SMALL], "judge": LARGE}
        result = await desk.evaluate(path, metric="judge: Does it say the same?", **more)
    report = data(result)
    assert text(result).startswith(f"The judge {LARGE} agrees with what is expected in 19 of 20 answers.\n")
    assert (report["models"][0]["right"], report["models"][0]["examples"]) == (9, 10)


async def test_rows_that_are_the_models_fault_are_wrong_and_others_do_not_count(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0}) as desk:
        path = desk.table(tickets(30))
        desk.simulator.faults.add(Fault("status", path="/api/chat", contains="Ticket 7 ", status=500, text="no"))
        report = await desk.report(path, prompt="Team? {text}", metric="label")
        (row,) = report["models"]
        assert (row["right"], row["examples"]) == (29, 29)
        assert any(note.startswith("1 x [server_error] ") for note in row["notes"])
        desk.simulator.faults.clear()
        desk.simulator.script(SMALL, *[Answer(text="")] * 2)
        (row,) = (await desk.report(path, prompt="Which team? {text}", metric="label"))["models"]
        assert row["right"] < row["examples"] == 30


async def test_a_host_that_dies_in_between_loses_nothing(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0}) as desk:
        path = desk.table([{"text": f"Say [[number {n}]]", "expected": f"number {n}"} for n in range(60)])
        simulator, gate, task = desk.simulator, asyncio.Event(), {"prompt": "{text}", "metric": "contains"}
        # Right for each row, so that nothing is decided meanwhile.
        everything = " ".join(f"number {n}" for n in range(60))
        simulator.script(SMALL, *[Answer(text=everything)] * 10, *[Answer(text=everything, hold=gate)] * 4)
        work = asyncio.create_task(desk.evaluate(path, **task))
        await until(lambda: desk.asked(SMALL) == 14, SECONDS)
        await simulator.pause()
        simulator.faults.add(Fault("refuse"))
        gate.set()
        said = error(await work, "unreachable")
        assert "answers, which are kept" in said and "The same call resumes from there." in said
        simulator.faults.clear()
        await simulator.resume()
        simulator.log.clear()
        (row,) = (await desk.report(path, **task))["models"]
        assert row["examples"] == 60
        assert 1 <= desk.asked(SMALL) <= 50


async def test_a_model_that_is_replaced_in_between_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0, LARGE: 1.0}) as desk:
        simulator, gate = desk.simulator, asyncio.Event()
        path = desk.table(tickets(60))
        simulator.script(SMALL, Answer(text="billing"), *[Answer(text="billing", hold=gate)] * 4)
        work = asyncio.create_task(desk.evaluate(path, prompt="Team? {text}"))
        await until(lambda: desk.asked(SMALL) == 5, SECONDS)
        other = simulator.store.find(LARGE)
        assert other is not None
        simulator.store.add(other.renamed(parse_name(SMALL)))
        gate.set()
        report = data(await work)
    failed, other_row = report["models"]
    assert failed["reaches"] == "failed" and "was replaced meanwhile" in failed["error"]
    assert (other_row["model"], other_row["reaches"], report["model"]) == (LARGE, "yes", LARGE)


async def test_a_model_whose_process_dies_is_a_row_and_the_others_go_on(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0, LARGE: 1.0}) as desk:
        crash = "llama runner process has terminated: exit status 2"
        desk.simulator.faults.add(Fault("status", path="/api/chat", model=SMALL, status=500, text=crash))
        report = await desk.report(desk.table(tickets(60)))
    dead, alive = report["models"]
    assert dead["reaches"] == "failed" and "exit status 2" in dead["error"] and dead["examples"] == 0
    assert (alive["reaches"], report["model"]) == ("yes", LARGE)


async def test_what_is_finished_is_no_longer_in_the_store_and_an_evaluation_twice_at_once_is_refused(
    tmp_path: Path,
) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0}) as desk:
        path, gate = desk.table(tickets(60)), asyncio.Event()
        desk.simulator.script(SMALL, Answer(text="billing", hold=gate))
        work = asyncio.create_task(desk.evaluate(path, prompt="Team? {text}"))
        await until(lambda: desk.asked(SMALL) == 1, SECONDS)
        error(await desk.evaluate(path, prompt="Team? {text}"), "busy")
        gate.set()
        assert data(await work)["models"][0]["examples"] > 0
        status = data(await desk.client.call_tool("ollama_status", {}))
    assert "unfinished" not in json.dumps(status)


async def test_models_may_be_left_out_and_those_that_cannot_do_it_are(tmp_path: Path) -> None:
    simulator = Simulator(version="latest", models=["llama3.2:1b", "nomic-embed-text"])
    async with evaluating(tmp_path, {SMALL: 1.0}, simulator=simulator) as desk:
        report = await desk.report(desk.table(tickets(60)))
    assert [row["model"] for row in report["models"]] == [SMALL]
