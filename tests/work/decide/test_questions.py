"""Questions as callers write them, and those that cannot be asked."""

from typing import Any

import pytest
from pydantic import ValidationError

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.work.decide import ClosedQuestion
from ollama_mcp.work.decide.questions import MAX_ORDERS, check_questions


def question(**more: Any) -> ClosedQuestion:
    return ClosedQuestion.model_validate({"name": "topic", "type": "choice", "question": "What is it about?", **more})


@pytest.mark.parametrize(
    "labels",
    [
        ["bug: it breaks", "idea"],
        {"bug": "it breaks", "idea": None},
        [{"bug": "it breaks"}, {"idea": ""}],
        [" bug :  it breaks ", "idea"],
    ],
)
def test_labels_are_taken_as_a_list_or_as_an_object(labels: Any):
    assert question(labels=labels).options == {"bug": "it breaks", "idea": ""}


def test_a_colon_without_a_space_is_part_of_the_label():
    assert list(question(labels=["C:", "12:30", "a:b"]).options) == ["C:", "12:30", "a:b"]


@pytest.mark.parametrize(
    ("given", "type"),
    [
        ({"labels": ["a", "b"]}, "choice"),
        ({"levels": ["a", "b"]}, "score"),
        ({}, "yes_no"),
        ({"type": "score"}, "score"),
    ],
)
def test_the_type_is_seen_by_what_can_be_answered_and_the_name_is_the_question(given: dict[str, Any], type: str):
    asked = ClosedQuestion.model_validate({"question": "Is it so?", **given})
    assert (asked.type, asked.name) == (type, "Is it so?")


def test_what_was_dumped_is_the_same_question_again():
    asked = ClosedQuestion.model_validate({"question": "Is it so?", "labels": ["a: one", "b"]})
    assert ClosedQuestion.model_validate(asked.model_dump()) == asked


def test_levels_and_yes_no_have_their_options_too():
    assert list(question(type="score", levels=["calm", " cross "]).options) == ["calm", "cross"]
    assert list(question(type="yes_no").options) == ["yes", "no"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"question": " ", "labels": ["a", "b"]}, "Question 1 is empty"),
        ({"labels": ["a"]}, "has 1 labels, but takes 2 to 26"),
        ({}, "has 0 labels"),
        ({"labels": [f"l{n}" for n in range(27)]}, "has 27 labels"),
        ({"labels": ["a", " "]}, "has empty labels"),
        ({"labels": ["a", "b"], "levels": ["c", "d"]}, "has both labels and levels"),
        ({"type": "yes_no", "labels": ["a", "b"]}, "has labels, but its type is 'yes_no'"),
        ({"type": "score", "levels": ["a"]}, "has 1 levels"),
        ({"type": "score", "levels": ["a", "b", "a "]}, "has a level twice"),
        ({"type": "score", "levels": ["a", ""]}, "has empty levels"),
    ],
)
def test_a_question_that_cannot_be_asked_says_which_and_why(given: dict[str, Any], said: str):
    with pytest.raises(InvalidArgument) as caught:
        check_questions([question(**given)], 64)
    assert said in caught.value.message and caught.value.next_step


def test_names_stand_once_and_there_are_only_so_many_questions():
    one = question(type="yes_no")
    for questions, said in (([], "empty"), ([one, one], "named 'topic'"), ([one] * 3, "3 items, at most 2")):
        with pytest.raises(InvalidArgument, match=said):
            check_questions(questions, 2)


def test_labels_that_are_no_list_are_refused():
    with pytest.raises(ValidationError):
        question(labels=3)


def test_a_label_twice_is_refused_while_it_is_read():
    with pytest.raises(InvalidArgument, match="name 'a' twice"):
        question(labels=["a: one", "a: two"])


@pytest.mark.parametrize("count", [2, 3, 5, 26])
def test_shuffled_each_label_stands_elsewhere_in_each_order_and_the_orders_stay_the_same(count: int):
    asked = question(labels=[f"label {number}" for number in range(count)])
    orders = asked.orders(shuffle=True)
    assert orders == asked.orders(shuffle=True)
    assert len(orders) == min(count, MAX_ORDERS)
    assert all(sorted(order) == list(range(count)) for order in orders)
    for label in range(count):
        assert len({order.index(label) for order in orders}) == len(orders)
    assert asked.orders(shuffle=False) == [list(range(count))]


def test_levels_are_turned_round_not_mixed():
    assert question(type="score", levels=["a", "b", "c"]).orders(shuffle=True) == [[0, 1, 2], [2, 1, 0]]
