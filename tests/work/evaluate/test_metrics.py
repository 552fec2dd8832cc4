"""Metrics: what counts as right, answer by answer."""

from __future__ import annotations

from typing import Any

import pytest

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.work.decide import ClosedQuestion
from ollama_mcp.work.evaluate.metrics import Answers, Label, number_in, parse_metric


@pytest.mark.parametrize(
    ("metric", "answer", "expected", "right"),
    [
        ("exact", " Paris\n", "Paris", True),
        ("exact", "paris", "Paris", False),
        ("exact", '{"a": 1}', {"a": 1}, True),
        ("normalised", "  PARIS.\n", "Paris", True),
        ("normalised", "\uff30\uff41\uff52\uff49\uff53", "paris", True),
        ("normalised", "stra\u00dfe", "STRASSE", True),
        ("normalised", "It is Paris", "Paris", False),
        ("number", "The total is 1,234.50 euros.", "1234.5", True),
        ("number", "1 + 1 = 3", 2, False),
        ("number", "none", "2", False),
        ("number", "-4", "\u22124", True),
        ("number:0.1", "0.3", "0.2", True),
        ("number:0.1", "0.31", "0.2", False),
        ("number:1%", "101", "100", True),
        ("number:1%", "102", "100", False),
        ("contains", "We refund within 14 days.", "14 DAYS", True),
        ("contains", "We refund.", ["refund", "days"], False),
        ("contains", "Refund in days.", ["refund", "days"], True),
        ("regex", "Order AB-123 is late", r"\b[A-Z]{2}-\d+\b", True),
        ("regex", "Order 123", r"^\d+$", False),
        ("fields", {"a": "X ", "b": 2, "c": 0}, {"a": "x", "b": 2.0}, True),
        ("fields", '{"a": "x", "b": "2"}', {"a": "x", "b": 2}, True),
        ("fields", {"a": "x"}, {"a": "x", "b": 2}, False),
        ("fields", {"a": ["x", "y"], "b": {"c": True}}, {"a": ["X", "y"], "b": {"c": True}}, True),
        ("fields", {"a": ["x"]}, {"a": ["x", "y"]}, False),
        ("fields", {"a": 1}, {"a": True}, False),
        ("fields", "no object", {"a": 1}, False),
    ],
)
def test_what_is_right(metric: str, answer: Any, expected: Any, right: bool) -> None:
    found = parse_metric(metric, [expected], [], fields=False)
    assert found.check(expected) == ""
    assert found.score(answer, expected).right is right


def test_a_label_is_the_answer_or_the_one_that_it_names() -> None:
    metric = Label.of(["urgent", "not urgent", "spam"])
    assert metric.score("Urgent.", "urgent").right
    assert metric.score("This one is not urgent", "not urgent").right
    assert not metric.score("This one is not urgent", "urgent").right
    assert metric.score("spam or urgent", "spam").answered == "(no label)"
    assert metric.score("spammer", "spam").answered == "(no label)"


def test_fields_that_fail_are_told_apart() -> None:
    score = parse_metric("", [], [], fields=True).score({"a": 1, "b": "x"}, {"a": 1, "b": "y"})
    assert (score.right, score.fields) == (False, {"a": True, "b": False})


def test_the_answers_to_several_questions_are_expected_as_an_object() -> None:
    team = ClosedQuestion.model_validate({"name": "team", "question": "Team?", "labels": ["a", "b"]})
    urgent = ClosedQuestion.model_validate({"name": "urgent", "question": "Urgent?"})
    metric = Answers([team, urgent])
    assert metric.check({"team": "A", "urgent": True}) == ""
    assert "no answer to 'urgent'" in metric.check({"team": "a"})
    verdicts = {"team": {"answer": "a"}, "urgent": {"answer": "no", "probabilities": {"yes": 0.2, "no": 0.8}}}
    score = metric.score(verdicts, '{"team": "a", "urgent": "yes"}')
    assert (score.right, score.fields, score.confidence) == (False, {"team": True, "urgent": False}, 0.8)


@pytest.mark.parametrize("text", ["", "a", "1.2.3 or so", "x" * 10_000 + "1"])
def test_any_text_has_a_number_or_none(text: str) -> None:
    assert number_in(text) is None or isinstance(number_in(text), float)


def test_a_pattern_takes_linear_time() -> None:
    metric = parse_metric("regex", [], [], fields=False)
    assert metric.check("(a+)+$") == ""
    assert not metric.score("a" * 50_000 + "b", "(a+)+$").right


@pytest.mark.parametrize("given", ["accuracy", "number:x", "number:nan", "number:-1"])
def test_a_metric_that_does_not_exist_is_refused(given: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_metric(given, [], [], fields=False)
