"""What the log-probabilities of a letter's place tell."""

import math
from typing import Any

import pytest

from ollama_mcp.work.decide.logprob_decider import letter_probabilities
from ollama_mcp.work.decide.verdicts import confidence_of, mean_of


def place(token: str, chances: dict[str, float]) -> dict[str, Any]:
    """A place of an answer as Ollama gives it."""
    tops = [{"token": one, "logprob": math.log(chance)} for one, chance in chances.items()]
    return {"token": token, "logprob": math.log(chances.get(token, 1e-9)), "top_logprobs": tops}


def test_all_spellings_of_a_letter_add_up_and_each_token_counts_once():
    chances = {"A": 0.4, " A": 0.1, "a": 0.1, "(A": 0.05, "**A": 0.05, "\u2581A": 0.05, "B": 0.2, "The": 0.05}
    weights = letter_probabilities([place("A", chances)], "AB")
    assert weights == {"A": pytest.approx(0.75), "B": pytest.approx(0.2)}


def test_spaces_and_brackets_before_the_letter_are_passed_over():
    places = [place("\n", {"\n": 0.99}), place(" (", {" (": 0.97}), place("B", {"B": 0.9, "A": 0.1})]
    assert letter_probabilities(places, "AB") == {"B": pytest.approx(0.9), "A": pytest.approx(0.1)}


def test_a_letter_that_nearly_came_first_counts_where_it_would_have_come():
    places = [place("\n", {"\n": 0.6, "A": 0.4}), place("B", {"B": 1.0})]
    assert letter_probabilities(places, "AB") == {"A": pytest.approx(0.4)}


def test_behind_the_first_word_no_letter_counts():
    places = [place("The", {"The": 1.0}), place(" A", {" A": 1.0})]
    assert letter_probabilities(places, "AB") == {}


@pytest.mark.parametrize("places", [[], [{"token": "A"}], [{"token": "C", "logprob": -0.1}], [place("AB", {"AB": 1})]])
def test_what_is_no_offered_letter_or_has_no_probability_gives_nothing(places: list[dict[str, Any]]):
    assert letter_probabilities(places, "AB") == {}


def test_confidence_is_one_for_a_single_option_and_nought_for_even_shares():
    assert confidence_of([1.0, 0.0, 0.0]) == 1
    assert confidence_of([0.25] * 4) == pytest.approx(0)
    assert 0 < confidence_of([0.7, 0.3]) < 0.2


def test_the_mean_of_several_orders_adds_up_to_one():
    assert mean_of([[0.9, 0.1], [0.5, 0.5]]) == [pytest.approx(0.7), pytest.approx(0.3)]
