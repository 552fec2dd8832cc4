"""Exact bounds for an error rate, from how many of some independent answers were wrong (Clopper and Pearson, 1934)."""

from __future__ import annotations

import math

CONFIDENCE = 0.95
_STEPS = 50
# Standard deviations by which chance may be worse than the mean: four cases of five are not.
_LUCK = 0.84
# More examples than this nobody labels.
_MOST = 100_000


def probability_of_at_most(wrong: int, answers: int, rate: float) -> float:
    """The probability of at most so many wrong answers where each is wrong with probability `rate`."""
    if wrong >= answers or rate <= 0:
        return 1.0
    if rate >= 1:
        return 0.0
    log_rate, log_rest, log_all = math.log(rate), math.log1p(-rate), math.lgamma(answers + 1)
    return min(
        1.0,
        math.fsum(
            math.exp(
                log_all
                - math.lgamma(count + 1)
                - math.lgamma(answers - count + 1)
                + count * log_rate
                + (answers - count) * log_rest
            )
            for count in range(wrong + 1)
        ),
    )


def upper_bound(wrong: int, answers: int, risk: float = 1 - CONFIDENCE) -> float:
    """The rate of errors that is not exceeded, but for a probability of `risk`: one-sided, 1 without answers."""
    if wrong >= answers:
        return 1.0
    low, high = wrong / answers, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if probability_of_at_most(wrong, answers, middle) > risk else (low, middle)
    return high


def flawless_answers(error: float, risk: float = 1 - CONFIDENCE) -> int:
    """How many answers, all of them right, show that at most `error` are wrong: 149 for 0.02."""
    return math.ceil(math.log(risk) / math.log1p(-error))


def answers_needed(rate: float, error: float, risk: float = 1 - CONFIDENCE) -> int | None:
    """How many answers show that at most `error` are wrong where `rate` of them are, in four cases of five.

    None where that is more than anybody labels.
    """
    if rate >= error:
        return None

    def enough(answers: int) -> bool:
        wrong = rate * answers + _LUCK * math.sqrt(answers * rate * (1 - rate))
        # Rounded up: a part of an answer is not wrong.
        return probability_of_at_most(math.ceil(wrong), answers, error) <= risk

    low, high = 1, flawless_answers(error, risk)
    while not enough(high):
        low, high = high, 2 * high
        if high > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
