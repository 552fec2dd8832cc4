"""Examples that cannot be used, or that would say less than they seem to: each is told before a model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import error
from tests.work.evaluate.evaluating import QUESTION, SMALL, evaluating, tickets

TEAM = {"prompt": "Which team? {text}"}
Rows = Sequence[Mapping[str, Any]]


@pytest.mark.parametrize(
    ("rows", "more", "words"),
    [
        ([{"text": "a", "answer": "b"}], {}, ["has no column 'expected'", "it has: text, answer"]),
        ([{"expected": "b"}], {}, ["no column but 'expected'"]),
        ([{"text": "a", "expected": ""}], {}, ["no example that can be used", "nothing is expected"]),
        (
            [{"text": "a", "expected": "billing"}, {"text": "b", "expected": "sales"}],
            {},
            ["Row 2", "no such option", "billing, tech"],
        ),
        ([{"text": f"t{n}", "expected": "billing"} for n in range(9)], {}, ["All 9 examples expect the same"]),
        ([{"text": "a", "expected": "x"}, {"text": "a", "expected": "y"}], TEAM, ["several times with different"]),
        (
            [{"text": "My invoice is wrong", "expected": "x"}],
            {"prompt": "Like 'my invoice  is wrong' -> x. Team? {text}"},
            ["stand in the prompt itself"],
        ),
        (tickets(4), {"prompt": "{text} is {expected}"}, ["prompt names {expected}"]),
        (tickets(4), {**TEAM, "metric": "accuracy"}, ["metric is 'accuracy'", "judge"]),
        (tickets(4), {**TEAM, "metric": "number:-1"}, ["number:0.5"]),
        (tickets(4), {**TEAM, "metric": "number"}, ["Row 1", "it is not a number", "4 rows such"]),
        (tickets(4), {**TEAM, "metric": "fields"}, ["it is not a JSON object"]),
        ([{"text": "a", "expected": r"(a)\1"}], {**TEAM, "metric": "regex"}, ["linear time"]),
        (tickets(4), {"questions": [QUESTION], "metric": "number"}, ["questions have labels"]),
        (tickets(4), {"prompt": ""}, ["There is nothing to ask", "questions with labels"]),
        (tickets(4), {**TEAM, "goal": 90}, ["goal is 90", "such as 0.9"]),
        (tickets(4), {**TEAM, "models": [SMALL, "LLAMA3.2:1b"]}, ["twice"]),
        (tickets(4), {"prompt": "{nothing}"}, ["{nothing}", "{text}"]),
    ],
)
async def test_what_is_wrong_is_said_before_a_model_is_asked(
    tmp_path: Path, rows: Rows, more: dict[str, Any], words: list[str]
) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0}) as desk:
        said = error(await desk.evaluate(desk.table(rows), **more), "invalid_argument")
        assert desk.asked(SMALL) == 0
    for word in words:
        assert word in said


async def test_a_file_of_another_kind_and_a_model_that_is_not_installed(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0}) as desk:
        path = desk.table(tickets(4))
        assert ".csv or .jsonl" in error(await desk.evaluate(path.replace(".csv", ".xlsx")), "invalid_argument")
        error(await desk.evaluate(path, models=["nothing"]), "model_not_found")
        assert desk.asked(SMALL) == 0


@pytest.mark.parametrize(
    ("rows", "more", "note"),
    [
        (
            [*tickets(4), {"text": "x", "expected": ""}],
            {},
            "1 row cannot be used: row 5. Row 5: nothing is expected.",
        ),
        ([*tickets(4), *tickets(2)], {}, "2 examples left out, since they repeat another row: row 5, 6."),
        (
            [*tickets(4), {"text": "Ticket 1 [[tech]]", "expected": "billing"}],
            {},
            "2 examples left out, since the same input is expected to give different answers: row 2, 5.",
        ),
        (
            tickets(4),
            {"prompt": "Such as: Ticket 2 [[billing]] is for billing. {text}", "metric": "label"},
            "1 example left out, since their input stands in the prompt: row 3.",
        ),
        (tickets(10), {}, "10 examples are too few to show 90 %: even without a failure it takes 55."),
    ],
)
async def test_what_is_left_out_is_said_by_its_rows(
    tmp_path: Path, rows: Rows, more: dict[str, Any], note: str
) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0}) as desk:
        report = await desk.report(desk.table(rows), **more)
    assert note in report["notes"]
