"""The sequential part without requests: intervals that hold at every look, and which model is asked how much."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from ollama_mcp.work.evaluate.intervals import (
    Target,
    chance_of,
    examples_needed,
    flawless_examples,
    interval,
    is_decided,
    rights_needed,
)
from ollama_mcp.work.evaluate.race import FIRST_BLOCK, STEP, Race, Standing

TARGET = Target(0.9, 0.95)
ACCURACIES = (0.80, 0.86, 0.96)
EXAMPLES = 400


def run(seed: int, accuracies: Sequence[float], target: Target = TARGET, total: int = EXAMPLES) -> tuple[Race, int]:
    """An evaluation of models that answer by chance; gives the calls too."""
    chance = random.Random(seed)
    answers = {str(share): [chance.random() < share for _ in range(total)] for share in accuracies}
    race, calls = Race(list(answers), total, target), 0
    while chosen := race.round():
        for standing, end in chosen:
            if not race.is_wanted(standing):
                continue
            while standing.taken < end:
                last = min(end, standing.taken + STEP)
                calls += last - standing.taken
                right = sum(answers[standing.model][:last])
                if not race.update(standing, right=right, seen=last, taken=last):
                    break
    return race, calls


def covers(standing: Standing, target: Target = TARGET) -> bool:
    low, high = interval(standing.right, standing.seen, target)
    return low <= float(standing.model) <= high


def test_of_models_of_known_accuracy_the_right_one_is_found_with_half_the_calls() -> None:
    runs = [run(seed, ACCURACIES) for seed in range(200)]
    found = [race.found.model if race.found else "" for race, _ in runs]
    assert found.count("0.96") >= 190
    # A model below the goal is never named more often than the confidence allows.
    assert len([one for one in found if one not in ("0.96", "")]) <= 10
    covered = [covers(standing) for race, _ in runs for standing in race.standings]
    assert sum(covered) >= 0.93 * len(covered)
    assert sum(calls for _, calls in runs) <= 0.5 * 200 * EXAMPLES * len(ACCURACIES)


def test_a_model_just_below_the_goal_is_hardly_ever_found_however_often_one_looks() -> None:
    runs = [run(seed, (0.899,), total=1_000)[0] for seed in range(200)]
    assert sum(race.found is not None for race in runs) <= 10
    assert sum(covers(race.standings[0]) for race in runs) >= 190


def test_where_none_reaches_the_goal_none_is_found() -> None:
    assert not any(run(seed, (0.7, 0.8))[0].found for seed in range(50))


def test_a_model_that_waits_goes_on_only_if_no_other_reaches_the_goal() -> None:
    with_better, _ = run(3, (0.87, 0.99))
    alone, _ = run(3, (0.87,))
    waiting, decided = with_better.standings
    assert (waiting.state, decided.state) == ("waiting", "reached")
    assert waiting.taken < alone.standings[0].taken == EXAMPLES


def test_larger_models_are_asked_no_further_once_one_reaches_the_goal() -> None:
    race, _ = run(1, (0.99, 0.95, 0.97))
    first, *larger = race.standings
    assert first.state == "reached"
    assert first.taken > FIRST_BLOCK
    assert all(standing.taken <= FIRST_BLOCK for standing in larger)


def test_rows_that_do_not_count_are_taken_all_the_same_so_that_a_race_ends() -> None:
    race = Race(["m"], 50, TARGET)
    rounds = 0
    while chosen := race.round():
        rounds += 1
        for standing, end in chosen:
            race.update(standing, right=0, seen=0, taken=end)
    assert rounds and race.standings[0].state == "open"


def test_an_interval_is_what_the_evidence_leaves() -> None:
    assert interval(0, 0, TARGET) == (0.0, 1.0)
    low, high = interval(186, 200, TARGET)
    assert 0.86 < low < 0.88 and 0.96 < high < 0.98
    # Inside an edge the goal is possible, outside it is not.
    assert not is_decided(186, 200, Target(low + 1e-6, 0.95)) or is_decided(186, 200, Target(low - 1e-6, 0.95))
    assert interval(20, 20, TARGET)[1] == 1.0
    assert interval(0, 20, TARGET)[0] == 0.0


@pytest.mark.parametrize("goal", [0.5, 0.8, 0.9, 0.98])
def test_how_many_flawless_examples_it_takes(goal: float) -> None:
    target = Target(goal, 0.95)
    count = flawless_examples(target)
    assert is_decided(count, count, target) and not is_decided(count - 1, count - 1, target)
    assert interval(count, count, target)[0] > goal > interval(count - 1, count - 1, target)[0]


def test_about_how_many_examples_would_tell() -> None:
    needed = examples_needed(93, 100, TARGET)
    assert needed and is_decided(round(0.93 * needed), needed, TARGET) and 400 < needed < 1_500
    assert examples_needed(90, 100, TARGET) is None


def test_how_many_must_be_right_and_with_what_chance_they_will_be() -> None:
    needed = rights_needed(100, TARGET)
    assert is_decided(needed, 100, TARGET) and not is_decided(needed - 1, 100, TARGET)
    assert rights_needed(10, TARGET) == 11
    assert chance_of(0, 10, 1, 2) == 1.0 and chance_of(11, 10, 10, 10) == 0.0
    # By Laplace's rule of succession.
    assert chance_of(1, 1, 3, 4) == pytest.approx(4 / 6)
