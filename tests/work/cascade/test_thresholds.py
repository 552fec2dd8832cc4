"""The statistics of a cascade: exact bounds, thresholds that keep their promise, and numbers that would do."""

from __future__ import annotations

import random

import pytest

from ollama_mcp.work.cascade.bounds import answers_needed, flawless_answers, probability_of_at_most, upper_bound
from ollama_mcp.work.cascade.thresholds import (
    NEVER,
    NO_CONFIDENCE,
    Fitted,
    NotFitted,
    examples_needed,
    fit,
    tally,
)

COSTS = (0.25, 1.0)
RUNS = 500


def drawn(chance: random.Random, accuracies: tuple[float, ...], *, informed: bool = True) -> list[tuple[float, bool]]:
    """What models of these accuracies say of an example; informed ones are surer where they are right."""
    answers: list[tuple[float, bool]] = []
    for accuracy in accuracies:
        right = chance.random() < accuracy
        shape = (8, 1.2) if right or not informed else (3, 2)
        answers.append((chance.betavariate(*shape), right))
    return answers


def population(accuracies: tuple[float, ...], *, informed: bool = True) -> list[list[tuple[float, bool]]]:
    chance = random.Random(f"{accuracies} {informed}")
    return [drawn(chance, accuracies, informed=informed) for _ in range(4_000)]


@pytest.mark.parametrize(("error", "answers"), [(0.02, 149), (0.05, 59), (0.1, 29), (0.01, 299)])
def test_so_many_flawless_answers_are_needed_and_not_one_less(error: float, answers: int):
    assert flawless_answers(error) == answers
    assert upper_bound(0, answers) <= error < upper_bound(0, answers - 1)


def test_a_quarter_of_the_examples_is_not_held_out():
    assert examples_needed(0.02) == (198, 149)
    assert 198 - 198 // 4 == 149
    # Two questions share the risk: each promise takes more.
    assert examples_needed(0.02, questions=2)[1] == 183


# From published tables of the Clopper-Pearson interval: 90 % two-sided is 95 % from one side.
@pytest.mark.parametrize(("wrong", "answers", "bound"), [(0, 10, 0.2589), (1, 10, 0.3942), (5, 100, 0.1023)])
def test_bounds_are_those_of_clopper_and_pearson(wrong: int, answers: int, bound: float):
    assert upper_bound(wrong, answers) == pytest.approx(bound, abs=5e-5)


def test_no_answer_shows_nothing():
    assert upper_bound(0, 0) == 1.0
    assert probability_of_at_most(0, 0, 0.05) == 1.0


def test_more_answers_are_needed_the_closer_the_rate_is():
    needed = [answers_needed(rate, 0.05) for rate in (0.0, 0.01, 0.03, 0.04)]
    assert needed[0] == 59
    assert needed == sorted(needed, key=lambda count: count or 0)
    assert answers_needed(0.05, 0.05) is None


def test_the_first_model_that_is_sure_enough_decides():
    examples = [[(0.9, True), (0.1, False)], [(0.2, False), (0.8, True)], [(0.2, True), (0.1, True)]]
    seen = tally(examples, (0.5, 0.5), COSTS)
    assert (seen.decided, seen.answers, seen.wrong) == ((1, 1), 2, 0)
    # Two were asked of both; the one that is left is dearer than any request.
    assert seen.cost == pytest.approx(3 * 0.25 + 2 * 1 + 2)
    assert tally(examples, (NEVER, NO_CONFIDENCE), COSTS).cost == pytest.approx(3)


def test_models_without_errors_pass_with_as_many_examples_as_are_needed():
    count = examples_needed(0.02)[0]
    fitted = fit([[(0.5, True), (0.5, True)]] * count, COSTS, 0.02)
    assert isinstance(fitted, Fitted)
    assert fitted.thresholds[0] == NO_CONFIDENCE
    assert fitted.upper <= 0.02
    assert isinstance(fit([[(0.5, True), (0.5, True)]] * (count - 1), COSTS, 0.02), NotFitted)


def test_models_that_are_always_wrong_are_never_enough():
    missed = fit([[(1.0, False), (1.0, False)]] * 400, COSTS, 0.05)
    assert missed == NotFitted(rate=1.0, needed=None)


def test_a_model_without_probabilities_decides_all_or_nothing():
    chance = random.Random(1)
    examples = [[(NO_CONFIDENCE, chance.random() < 0.7), (NO_CONFIDENCE, True)] for _ in range(400)]
    fitted = fit(examples, COSTS, 0.05)
    assert isinstance(fitted, Fitted)
    assert fitted.thresholds == (NEVER, NO_CONFIDENCE)


def test_how_many_examples_would_do_is_said_and_does():
    people, chance = population((0.9, 0.97)), random.Random(3)
    missed = next(
        found for _ in range(100) if isinstance(found := fit(chance.choices(people, k=90), COSTS, 0.05), NotFitted)
    )
    assert missed.needed is not None
    assert 90 < missed.needed < 5_000
    again = [fit(chance.choices(people, k=missed.needed), COSTS, 0.05) for _ in range(10)]
    assert sum(isinstance(found, Fitted) for found in again) >= 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("accuracies", "informed", "error", "examples"),
    [
        ((0.97, 0.99), True, 0.05, 400),
        ((0.9, 0.97), True, 0.05, 300),
        # The confidence says nothing, and the best that can be had lies just above the promise.
        ((0.9, 0.949), False, 0.05, 200),
    ],
)
def test_the_promise_is_broken_in_at_most_one_run_of_twenty(
    accuracies: tuple[float, ...], informed: bool, error: float, examples: int
):
    people = population(accuracies, informed=informed)
    broken, costs = 0, list[float]()
    for seed in range(RUNS):
        fitted = fit(random.Random(seed).choices(people, k=examples), COSTS, error)
        if isinstance(fitted, Fitted):
            seen = tally(people, fitted.thresholds, COSTS)
            broken += seen.rate > error
            costs.append(seen.cost / len(people))
    assert broken <= RUNS * 0.05
    if accuracies[0] == 0.97:
        assert len(costs) > RUNS * 0.95
        assert sum(costs) / len(costs) <= 0.4
