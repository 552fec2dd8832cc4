"""Thresholds of confidence for a cascade, fitted on labelled examples so that a promise about its errors holds.

The promise: of the rows that are decided at most `error` are wrong, with 95 % confidence over the drawing of the
examples. A quarter of the examples, drawn by chance, proposes thresholds: among all on a grid those that no other
beats both in safety and in cost, ordered from the safest to the cheapest. The rest, held out, tests them in that order,
each by the exact binomial test at the full risk, and the first that fails ends the tests: fixed-sequence testing on a
split (Angelopoulos, Bates, Candès, Jordan, Lei: Learn then Test, 2021, section "split fixed sequence"), which needs no
assumption about the confidence, not even that it says anything. Several questions share the risk evenly (Bonferroni),
so that all promises hold together.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ollama_mcp.work.cascade.bounds import (
    CONFIDENCE,
    answers_needed,
    flawless_answers,
    probability_of_at_most,
    upper_bound,
)

NEVER = math.inf
# Of a model that gave no probabilities: only a threshold that takes every answer takes this one.
NO_CONFIDENCE = -1.0
# Of a model that failed: no threshold takes it.
FAILED = -2.0
# Of the examples, one of so many proposes; the others test.
_FIT_PART = 4
_COMBINATIONS = 225
# A row that nobody decides is left to a person: that costs more than to ask the largest model.
_UNDECIDED_COST = 2.0
_SEED = 20_211_003

# What each model said of an example: its confidence, and whether it was right.
Answers = Sequence[tuple[float, bool]]


@dataclass(frozen=True, slots=True)
class Tally:
    """What thresholds do to some examples.

    Args:
        examples: How many there are.
        decided: How many each model decides.
        wrong: How many of all that are decided are wrong.
        cost: Of all, in requests to the last model.
    """

    examples: int
    decided: tuple[int, ...]
    wrong: int
    cost: float

    @property
    def answers(self) -> int:
        """How many are decided by any model."""
        return sum(self.decided)

    @property
    def rate(self) -> float:
        """The share of wrong answers among those that are decided."""
        return self.wrong / self.answers if self.answers else 0.0


@dataclass(frozen=True, slots=True)
class Fitted:
    """Thresholds that passed.

    Args:
        thresholds: For each model, the confidence from which on its answer counts; `NEVER` where none does.
        held_out: What they do to the examples that tested them.
        upper: The most that may be wrong by those examples, exactly.
    """

    thresholds: tuple[float, ...]
    held_out: Tally
    upper: float

    @property
    def cost(self) -> float:
        """The cost of a row, in requests to the last model."""
        return self.held_out.cost / self.held_out.examples


@dataclass(frozen=True, slots=True)
class NotFitted:
    """No thresholds keep the promise on these examples.

    Args:
        rate: The lowest share of wrong answers that was seen, among the candidates.
        needed: How many examples would probably do; None where no number would.
    """

    rate: float
    needed: int | None


def examples_needed(error: float, questions: int = 1) -> tuple[int, int]:
    """The fewest examples, all of them answered right, and how many of them are held out."""
    held_out = flawless_answers(error, _risk(questions))
    return _with_fit_part(held_out), held_out


def fit(examples: Sequence[Answers], costs: Sequence[float], error: float, questions: int = 1) -> Fitted | NotFitted:
    """Find the cheapest thresholds of one question that keep the promise.

    Args:
        examples: What each model said of each example; independent draws from what the cascade will decide.
        costs: What a request to each model costs; that to the last one costs 1.
        error: The share of wrong answers that is promised.
        questions: How many questions share the risk.
    """
    mixed = random.Random(_SEED).sample(examples, len(examples))
    cut = len(mixed) // _FIT_PART
    proposing, testing = mixed[:cut], mixed[cut:]
    risk = _risk(questions)
    passed: Fitted | None = None
    for thresholds in _proposed(proposing, costs, error):
        held_out = tally(testing, thresholds, costs)
        if probability_of_at_most(held_out.wrong, held_out.answers, error) > risk:
            break
        passed = Fitted(thresholds, held_out, upper_bound(held_out.wrong, held_out.answers, risk))
    return passed or _not_fitted(mixed, costs, error, risk)


def tally(examples: Sequence[Answers], thresholds: Sequence[float], costs: Sequence[float]) -> Tally:
    """Count what thresholds do to examples: the first model decides whose confidence reaches its own."""
    ((_, found),) = _tallies(examples, [[threshold] for threshold in thresholds], costs)
    return found


def _tallies(
    examples: Sequence[Answers], grids: Sequence[Sequence[float]], costs: Sequence[float]
) -> Iterator[tuple[tuple[float, ...], Tally]]:
    """The tallies of all combinations of thresholds; what a model leaves is counted once for all that follow."""
    total = len(examples)
    place = len(costs) - len(grids)
    if not grids:
        yield (), Tally(total, (), 0, total * _UNDECIDED_COST)
        return
    for threshold in grids[0]:
        # Not even asked, where its answer would never count.
        cost = total * costs[place] if threshold < NEVER else 0.0
        right = [answers[place][1] for answers in examples if answers[place][0] >= threshold]
        left = [answers for answers in examples if answers[place][0] < threshold] if right else examples
        for others, rest in _tallies(left, grids[1:], costs):
            decided, wrong = (len(right), *rest.decided), len(right) - sum(right) + rest.wrong
            yield (threshold, *others), Tally(total, decided, wrong, cost + rest.cost)


def _risk(questions: int) -> float:
    # Rounded: 1 - 0.95 is a little more than 0.05.
    return round(1 - CONFIDENCE, 9) / questions


def _with_fit_part(held_out: int) -> int:
    examples = held_out * _FIT_PART // (_FIT_PART - 1)
    return next(count for count in range(examples, examples + _FIT_PART) if count - count // _FIT_PART >= held_out)


def _proposed(examples: Sequence[Answers], costs: Sequence[float], error: float) -> Iterator[tuple[float, ...]]:
    """The thresholds that no others beat both in safety and in cost, the safest first."""
    found: list[tuple[float, float, tuple[float, ...]]] = []
    for thresholds, seen in _tallies(examples, _grids(examples, len(costs)), costs):
        if seen.answers:
            # Of those that are as safe the dearest comes first: it asks for the most confidence.
            found.append((probability_of_at_most(seen.wrong, seen.answers, error), -seen.cost, thresholds))
    cheapest = math.inf
    for _, negative, thresholds in sorted(found):
        if -negative < cheapest:
            cheapest = -negative
            yield thresholds


def _grids(examples: Sequence[Answers], models: int) -> list[list[float]]:
    """For each model the thresholds to try: such as its confidences, evenly apart by their number, and `NEVER`."""
    size = max(2, int(_COMBINATIONS ** (1 / models)) - 1)
    grids: list[list[float]] = []
    for place in range(models):
        known = sorted(answers[place][0] for answers in examples)
        steps = {known[index * len(known) // size] for index in range(size)} if known else set[float]()
        # The lowest one that was seen is no limit: a still lower one counts too.
        grids.append([*sorted({NO_CONFIDENCE, *sorted(steps)[1:]}), NEVER])
    return grids


def _not_fitted(examples: Sequence[Answers], costs: Sequence[float], error: float, risk: float) -> NotFitted:
    lowest, closest, estimate = 1.0, None, math.inf
    for _, seen in _tallies(examples, _grids(examples, len(costs)), costs):
        if not seen.answers:
            continue
        lowest = min(lowest, seen.rate)
        # A rate that was seen on few may be lower than the real one: as if one more had been wrong.
        rate = (seen.wrong + 1) / (seen.answers + 1)
        if rate < error:
            # By the normal approximation, which is enough to choose one.
            answers = max(rate * (1 - rate) / (error - rate) ** 2, 1 / error)
            if (count := answers * seen.examples / seen.answers) < estimate:
                estimate, closest = count, (rate, seen.examples / seen.answers)
    answers = None if closest is None else answers_needed(closest[0], error, risk)
    if closest is None or answers is None:
        return NotFitted(lowest, None)
    return NotFitted(lowest, _with_fit_part(math.ceil(answers * closest[1])))
