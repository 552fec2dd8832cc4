"""ollama_batch with cascade: who decides, what is left, what is promised, and how it goes on after a failure."""

from __future__ import annotations

import json

import pytest

from ollama_mcp.simulator import Fault
from ollama_mcp.simulator.skill import Skill
from tests.support import data, error, texts
from tests.work.batch.batching import Bench
from tests.work.cascade.cascading import LARGE, QUESTION, SMALL, TOPICS, asked, cascade, message, table, topic

INPUT = range(1, 41)
EXAMPLES = range(1_001, 1_061)
ERROR = 0.2


def files(bench: Bench) -> tuple[list[str], str]:
    """A table to sort, and labelled examples."""
    examples = bench.write("examples.csv", table(EXAMPLES, labelled=True))
    return [bench.write("in.csv", table(INPUT))], examples


async def test_each_row_is_decided_by_the_first_model_that_is_sure(bench: Bench):
    given, examples = files(bench)
    result = await cascade(bench, given, examples=examples, error=ERROR, output="out.csv")
    report = data(result)
    small, large = report["cascade"]["steps"]
    assert (small["model"], small["asked"]) == (SMALL, 40)
    assert large["asked"] == 40 - small["decided"]
    assert small["decided"] + large["decided"] + report["cascade"]["undecided"] == 40
    assert small["decided"] >= 20
    rows = bench.table()
    by = [row["topic.model"] for row in rows]
    assert [by.count(SMALL), by.count(LARGE), by.count("")] == [
        small["decided"],
        large["decided"],
        report["cascade"]["undecided"],
    ]
    decided = [(row["topic"], topic(number)) for number, row in zip(INPUT, rows, strict=True) if row["topic"]]
    assert sum(answer != right for answer, right in decided) <= ERROR * len(decided)
    # The large one was asked about the examples and what the small one left, about nothing else.
    assert len(asked(bench, LARGE)) == len(EXAMPLES) + large["asked"]


async def test_the_promise_is_told_beside_what_was_seen(bench: Bench):
    given, examples = files(bench)
    result = await cascade(bench, given, examples=examples, error=ERROR, output="out.csv")
    (promise,) = data(result)["cascade"]["promises"]
    assert (promise["question"], promise["error"], promise["held_out"]) == ("topic", ERROR, 45)
    assert promise["observed"] <= promise["at_most"] <= ERROR
    assert set(promise["thresholds"]) == {SMALL, LARGE}
    said = "\n".join(texts(result))
    assert "at most 0.2 of the decided are wrong, promised with 95 % confidence" in said
    assert f"{SMALL} decided " in said


async def test_what_nobody_may_decide_goes_to_a_file_that_takes_labels(bench: Bench):
    # Sure where it is right, and quite unsure where it is not: all its errors can be left out.
    for model in (SMALL, LARGE):
        bench.simulator.scripts.learn(model, Skill(0.7, unsure=(0.5, 0.6), name="same").answer)
    given, examples = files(bench)
    report = data(await cascade(bench, given, examples=examples, error=ERROR, output="out.jsonl"))
    left = bench.table("out.undecided.csv")
    assert len(left) == report["cascade"]["undecided"] > 0
    assert report["cascade"]["undecided_file"] == str(bench.folder / "out.undecided.csv")
    assert set(left[0]) == {"text", "expected"}
    assert not any(row["expected"] for row in left)
    undecided = [row for row in bench.rows() if row["output"]["topic"]["answer"] is None]
    assert [row["input"]["text"] for row in undecided] == [row["text"] for row in left]
    # What the last model thinks is there for the person who decides.
    assert all(row["output"]["topic"]["guess"] in TOPICS for row in undecided)


async def test_no_prompt_holds_a_label_of_an_example(bench: Bench):
    rows = [{"text": message(number), "expected": {"topic": topic(number)}} for number in EXAMPLES]
    examples = bench.write("examples.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    given, _ = files(bench)
    report = data(await cascade(bench, given, examples=examples, error=ERROR, output="out.csv"))
    assert report["cascade"]["promises"][0]["held_out"] == 45
    assert not [prompt for prompt in asked(bench, SMALL) if "expected" in prompt]


async def test_without_examples_the_last_model_labels_some_of_the_rows(bench: Bench):
    given = [bench.write("in.csv", table(range(1, 101)))]
    result = await cascade(bench, given, error=ERROR, output="out.csv")
    report = data(result)["cascade"]
    assert report["labels"] == LARGE
    assert f"of the decided are unlike {LARGE}" in "\n".join(texts(result))
    # It agrees with itself: nothing is left, and no row is asked about twice.
    assert report["undecided"] == 0
    assert len(asked(bench, SMALL)) == 100
    assert len(asked(bench, LARGE)) == len(set(asked(bench, LARGE))) < 100


async def test_several_questions_have_thresholds_of_their_own(bench: Bench):
    asks = [QUESTION, {"question": "Is it about praise?", "name": "praise"}]
    lines = [f"{message(number)},{topic(number)},{'yes' if topic(number) == 'praise' else 'no'}" for number in EXAMPLES]
    examples = bench.write("examples.csv", "\n".join(["text,expected.topic,expected.praise", *lines]))
    given, _ = files(bench)
    # The simulated model finds no word of yes or no in a text, so that it is right by chance only.
    refused = error(await cascade(bench, given, questions=asks, examples=examples, output="o.csv"), "invalid_argument")
    assert "'praise'" in refused or "'topic'" in refused
    lines = [f"{message(number)},{topic(number)},{topic(number)}" for number in EXAMPLES]
    again = bench.write("two.csv", "\n".join(["text,expected.topic,expected.again", *lines]))
    asks[1] = {**QUESTION, "name": "again", "question": "Which topic has it?"}
    report = data(await cascade(bench, given, questions=asks, examples=again, error=ERROR, output="out.csv"))
    assert [promise["question"] for promise in report["cascade"]["promises"]] == ["topic", "again"]
    assert {"topic.model", "again.model"} <= set(bench.table()[0])


async def test_the_same_call_goes_on_where_a_failure_stopped_it(bench: Bench):
    given, examples = files(bench)
    arguments = {"examples": examples, "error": ERROR, "output": "out.csv"}
    # The large one answers the examples; then its host is one that cannot.
    for number in INPUT:
        bench.simulator.faults.add(Fault("not_found", path="/api/chat", model=LARGE, contains=f"Message {number} is"))
    bench.simulator.scripts.learn(SMALL, Skill(0.6, sure=(0.95, 0.99), unsure=(0.5, 0.6), name="small").answer)
    assert "Stopped with" in error(await cascade(bench, given, **arguments), "unsupported_by_version")
    done = len(asked(bench, SMALL)), len(asked(bench, LARGE))
    assert done[0] == len(EXAMPLES) + len(INPUT)
    bench.simulator.faults.clear()
    report = data(await cascade(bench, given, **arguments))
    large = report["cascade"]["steps"][1]
    assert (report["failed"], large["asked"]) == (0, len(asked(bench, LARGE)) - done[1])
    assert large["asked"] > 0
    assert len(asked(bench, SMALL)) == done[0]


async def test_rows_that_fail_are_not_undecided_and_are_retried_alone(bench: Bench):
    given, examples = files(bench)
    arguments = {"examples": examples, "error": ERROR, "output": "out.csv", "overwrite": True}
    bench.simulator.scripts.learn(SMALL, Skill(0.6, sure=(0.95, 0.99), unsure=(0.5, 0.6), name="small").answer)
    for number in INPUT:
        contains = f"Message {number} is"
        bench.simulator.faults.add(Fault("status", path="/api/chat", model=LARGE, contains=contains, status=500))
    first = data(await cascade(bench, given, **arguments))
    assert first["failed"] == first["cascade"]["steps"][1]["asked"] > 0
    assert first["cascade"]["undecided"] == 0
    done = len(asked(bench, SMALL)), len(asked(bench, LARGE))
    bench.simulator.faults.clear()
    assert data(await cascade(bench, given, **arguments))["failed"] == 0
    assert len(asked(bench, SMALL)) == done[0]
    assert len(asked(bench, LARGE)) - done[1] == first["failed"]


async def test_a_row_that_a_model_fails_at_goes_on_to_the_next(bench: Bench):
    given, examples = files(bench)
    for number in (7, 8):
        contains = f"Message {number} is"
        bench.simulator.faults.add(Fault("status", path="/api/chat", model=SMALL, contains=contains, status=500))
    report = data(await cascade(bench, given, examples=examples, error=ERROR, output="out.csv"))
    assert report["failed"] == 0
    assert [bench.table()[number - 1]["topic.model"] for number in (7, 8)] == [LARGE, LARGE]


async def test_a_few_rows_come_back_without_a_file(bench: Bench):
    _, examples = files(bench)
    given = [message(number) for number in range(5)]
    report = data(await cascade(bench, given, examples=examples, error=ERROR))
    assert [sample["row"] for sample in report["samples"]] == [1, 2, 3, 4, 5]
    assert "undecided_file" not in report["cascade"]


async def test_the_file_of_undecided_rows_is_checked_before_anything_is_asked(bench: Bench):
    given, examples = files(bench)
    bench.write("out.undecided.csv", "mine")
    said = error(await cascade(bench, given, examples=examples, output="out.csv"), "invalid_argument")
    assert "out.undecided.csv" in said
    assert asked(bench, SMALL) == []


async def test_too_few_labels_are_refused_with_the_number_that_would_do(bench: Bench):
    given, examples = files(bench)
    said = error(await cascade(bench, given, examples=examples, error=0.02, output="out.csv"), "invalid_argument")
    assert "at least 198: 149 that are held out, all answered right" in said
    assert "Label 138 more" in said
    assert asked(bench, LARGE) == []


async def test_models_that_are_not_good_enough_are_refused_before_the_rows(bench: Bench):
    for model in (SMALL, LARGE):
        bench.simulator.scripts.learn(model, Skill(0.6, sure=(0.7, 0.8), unsure=(0.7, 0.8), name=model).answer)
    given, examples = files(bench)
    said = error(await cascade(bench, given, examples=examples, error=ERROR, output="out.csv"), "invalid_argument")
    assert "do not show that at most 0.2 would be wrong" in said
    assert len(asked(bench, SMALL)) == len(EXAMPLES)
    assert not (bench.folder / "out.csv").exists()


async def test_examples_that_repeat_count_once_and_one_class_alone_is_told(bench: Bench):
    one = [number for number in range(1_001, 1_200) if topic(number) == "praise"]
    rows = [*one, *one[:5]]
    given, _ = files(bench)
    examples = bench.write("one.csv", table(rows, labelled=True) + f"{message(one[0])},billing\n")
    notes = " ".join(data(await cascade(bench, given, examples=examples, error=ERROR, output="out.csv"))["notes"])
    assert "6 examples repeat others and do not count. 1 of them have another label than before." in notes
    assert "All examples of 'topic' are 'praise': they say nothing of other answers." in notes


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"questions": [], "prompt": "Sort {text}"}, "cascade needs questions"),
        ({"model": SMALL}, "model and cascade"),
        ({"cascade": [SMALL]}, "takes 2 to 4 models"),
        ({"cascade": [SMALL, SMALL]}, "a model twice"),
        ({"error": 0}, "error is 0"),
        ({"error": 1}, "error is 1"),
        ({"cascade": []}, "examples goes with cascade"),
        ({"examples": "in.csv"}, "has no column expected"),
        ({"examples": "wrong.csv"}, "Example 2 expects 'bills', which is no answer to 'topic'"),
        ({"examples": ""}, "there are only 40 in all"),
        ({"output": ""}, "rows need output"),
    ],
)
async def test_what_does_not_fit_is_told_before_anything_is_asked(bench: Bench, more: dict[str, object], word: str):
    given, examples = files(bench)
    bench.write("wrong.csv", f"text,expected\n{message(1)},billing\n{message(2)},bills\n")
    arguments: dict[str, object] = {"examples": examples, "output": "out.csv", **more}
    if arguments["examples"] in ("in.csv", "wrong.csv"):
        arguments["examples"] = str(bench.folder / str(arguments["examples"]))
    assert word in error(await cascade(bench, given, **arguments), "invalid_argument")
    assert asked(bench, SMALL) == asked(bench, LARGE) == []
