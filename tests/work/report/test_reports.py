"""`report` of ollama_batch and ollama_compare: written under the rules for outputs, with what was seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from ollama_mcp.simulator import Answer, Fault, Simulator
from ollama_mcp.simulator.skill import Skill
from tests.support import connected, data, error, texts, until
from tests.work.batch.batching import Bench, settings_of
from tests.work.batch.conftest import bench as bench
from tests.work.cascade.cascading import LARGE, QUESTION, SMALL, cascade, message, table
from tests.work.evaluate.evaluating import evaluating, tickets
from tests.work.report.pages import HOSTILE, elements, is_safe, words


@pytest.fixture
async def simulator() -> AsyncGenerator[Simulator]:
    async with Simulator(version="latest", models=[SMALL, LARGE]) as simulator:
        yield simulator


def page(bench: Bench, name: str = "report.html") -> bytes:
    return (bench.folder / name).read_bytes()


def captions(found: bytes) -> list[str]:
    return ["".join(one.itertext()) for one in elements(found) if one.tag == "figcaption"]


async def test_a_batch_reports_labels_confidence_and_errors(bench: Bench):
    bench.simulator.faults.add(Fault("status", path="/api/chat", contains="Message 3 is", status=500))
    given = [message(number) for number in range(12)]
    result = await bench.batch(given, questions=[QUESTION], model=LARGE, report="report.html")
    report = data(result)
    assert report["report"] == str(bench.folder / "report.html")
    assert f"Report: {report['report']}" in "\n".join(texts(result))
    found = page(bench)
    assert is_safe(found)
    assert {"Answers to 'topic'", "Confidence of the answers to 'topic'", "Rows that failed, by kind of error"} <= set(
        captions(found)
    )
    said = words(found)
    assert f"11 of 12 rows done by {LARGE}." in said
    assert "server_error" in said


async def test_what_a_model_wrote_is_text_in_its_report(bench: Bench):
    bench.simulator.script(LARGE, *[Answer(text=[HOSTILE.replace("\ud800", "")])] * 2)
    given = bench.write("in.csv", f'text,"<b>{HOSTILE[:20]}"\none,x\ntwo,y\n'.encode("utf-8", "replace"))
    data(await bench.batch([given], prompt="<i>{text}", model=LARGE, output="out.csv", report="report.html"))
    found = page(bench)
    assert is_safe(found)
    assert "<script>alert(1)</script>" in words(found)
    assert "<i>{text}" in words(found)


async def test_long_answers_are_not_counted_as_labels(bench: Bench):
    bench.simulator.script(LARGE, *[Answer(text="word " * 30)] * 2)
    data(await bench.batch(["one", "two"], model=LARGE, report="report.html"))
    assert captions(page(bench)) == []


async def test_a_cascade_reports_who_decided_and_how_it_was_measured(bench: Bench):
    bench.simulator.scripts.learn(SMALL, Skill(0.9, name="small").answer)
    bench.simulator.scripts.learn(LARGE, Skill(0.98, name="large").answer)
    examples = bench.write("examples.csv", table(range(1_001, 1_061), labelled=True))
    given = [bench.write("in.csv", table(range(1, 41)))]
    more = {"examples": examples, "error": 0.2, "output": "out.csv", "report": "report.html"}
    data(await cascade(bench, given, **more))
    found = page(bench)
    assert is_safe(found)
    assert {"Rows decided by each model", f"How often {SMALL} is right", "Expected (down) and decided (across)"} <= set(
        captions(found)
    )
    assert "at most 20 % of the decided are wrong" in words(found)


async def test_a_comparison_reports_speed_and_all_answers(bench: Bench):
    for model in (SMALL, LARGE):
        bench.simulator.script(model, Answer(text=f"<b>I am {model}</b>"))
    arguments = {"models": [SMALL, LARGE], "prompt": "Who are <you>?", "report": "report.html"}
    result = await bench.client.call_tool("ollama_compare", arguments)
    assert data(result)["report"] == str(bench.folder / "report.html")
    found = page(bench)
    assert is_safe(found)
    assert "Tokens a second" in captions(found)
    said = words(found)
    assert all(f"<b>I am {model}</b>" in said for model in (SMALL, LARGE))
    assert "Who are <you>?" in said


async def test_an_evaluation_reports_accuracy_against_speed(tmp_path: Path):
    async with evaluating(tmp_path, {SMALL: 0.6, LARGE: 0.98}) as desk:
        examples = desk.table(tickets(60))
        report = await desk.report(examples, report="report.html")
        again = error(await desk.evaluate(examples, report="report.html"), "invalid_argument")
    found = (desk.folder / "report.html").read_bytes()
    assert report["report"] == str(desk.folder / "report.html")
    assert is_safe(found)
    assert {"Accuracy against speed", "Expected (down) and answered (across)"} <= set(captions(found))
    assert report["verdict"] in words(found)
    assert "already exists" in again


@pytest.mark.parametrize("tool", ["ollama_batch", "ollama_compare"])
@pytest.mark.parametrize(("name", "word"), [("report.txt", "must end in .html"), ("mine.html", "already exists")])
async def test_a_report_that_may_not_be_written_is_refused_before_anything_is_asked(
    bench: Bench, tool: str, name: str, word: str
):
    bench.write("mine.html", "mine")
    task = {"input": ["a", "b"], "model": LARGE, "prompt": "x"}
    given = task if tool == "ollama_batch" else {"models": [SMALL, LARGE], "prompt": "x"}
    said = error(await bench.client.call_tool(tool, {**given, "report": name}), "invalid_argument")
    assert word in said
    assert bench.prompts() == []
    assert page(bench, "mine.html") == b"mine"


async def test_a_report_that_cannot_be_written_in_the_end_costs_nothing_but_itself(bench: Bench):
    # Somebody else makes a file of that name meanwhile.
    hold = "until it is there"
    bench.simulator.script(LARGE, Answer(text="one", hold=hold), Answer(text="two"))

    async def call() -> dict[str, object]:
        return data(await bench.batch(["a", "b"], model=LARGE, report="report.html"))

    running = asyncio.create_task(call())
    await until(lambda: bench.prompts(), seconds=60)
    bench.write("report.html", "mine")
    bench.simulator.release(hold)
    report = await running
    assert report["done"] == 2
    assert "report" not in report
    assert "The report was not written" in str(report["notes"])
    assert page(bench) == b"mine"


async def test_read_only_offers_no_report_of_a_comparison(simulator: Simulator, tmp_path: Path):
    async with connected(simulator.url, **settings_of(tmp_path, tmp_path), read_only=True) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert "report" not in tools["ollama_compare"].input_schema["properties"]
