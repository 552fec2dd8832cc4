"""Intervals of an accuracy that hold at every look, so that work may stop as soon as they tell enough.

The confidence sequence of the beta-binomial mixture: Robbins, "Statistical Methods Related to the Law of the Iterated
Logarithm" (1970); Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
sequences" (Annals of Statistics, 2021). Under an accuracy p the ratio of the mixture's likelihood to that of p is a
martingale that begins at 1, so that by Ville's inequality it ever reaches 1/alpha with probability alpha at most: the
interval of all p at which it is below covers the true accuracy at all numbers of examples together, and looking again
and again costs nothing more. Any mixture that is chosen beforehand will do: most of this one lies about the goal, where
it makes the interval narrow. The examples are taken as drawn at random from those to come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf, lgamma, log

# The parts of the mixture: their weight, and how many examples each is worth. One lies about the goal; the other, which
# is Jeffreys' prior, keeps the interval short where the accuracy is far from it.
_ABOUT_GOAL, _ANYWHERE = (0.9, 20.0), (0.1, 1.0)
_STEPS = 40
MOST_EXAMPLES = 100_000


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be told of an accuracy.

    Args:
        goal: The accuracy to reach, between 0 and 1.
        confidence: How sure it has to be that the accuracy lies within its interval, such as 0.95.
    """

    goal: float
    confidence: float


def interval(right: int, seen: int, target: Target) -> tuple[float, float]:
    """The accuracies that `right` of `seen` examples leave possible; they hold at all numbers of examples together."""
    if not seen:
        return 0.0, 1.0
    rate = right / seen
    low = 0.0 if not right else _edge(right, seen, target, 0.0, rate)
    high = 1.0 if right == seen else _edge(right, seen, target, 1.0, rate)
    return low, high


def is_decided(right: int, seen: int, target: Target) -> bool:
    """Whether the goal lies outside the interval."""
    return _evidence(target.goal, right, seen, target.goal) >= -log(1 - target.confidence)


def flawless_examples(target: Target) -> int:
    """How many examples show that the goal is reached where all of them are answered right."""
    return _first(lambda count: is_decided(count, count, target))


def examples_needed(right: int, seen: int, target: Target) -> int | None:
    """About how many examples would tell whether the goal is reached, were the others answered as those so far.

    Returns:
        The number; None where it is more than `MOST_EXAMPLES`.
    """
    rate = right / seen
    count = _first(lambda count: is_decided(round(rate * count), count, target))
    return count if count <= MOST_EXAMPLES else None


@lru_cache(256)
def rights_needed(total: int, target: Target) -> int:
    """How many of `total` examples must be right to show that the goal is reached; `total` + 1 where none suffice."""
    low, high = int(target.goal * total) + 1, total + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_decided(middle, total, target) else (middle + 1, high)
    return low


def chance_of(wanted: int, left: int, right: int, seen: int) -> float:
    """The chance of at least `wanted` right answers in `left` further examples, by those so far (beta-binomial)."""
    if wanted <= 0:
        return 1.0
    a, b = right + 1.0, seen - right + 1.0
    whole = lgamma(left + 1) - _log_beta(a, b)
    chances = (
        exp(whole - lgamma(count + 1) - lgamma(left - count + 1) + _log_beta(a + count, b + left - count))
        for count in range(wanted, left + 1)
    )
    return min(1.0, sum(chances))


def _evidence(accuracy: float, right: int, seen: int, goal: float) -> float:
    """The logarithm of the mixture's likelihood over that of one accuracy."""
    wrong = seen - right
    if (accuracy <= 0 and right) or (accuracy >= 1 and wrong):
        return inf
    (weight, size), (rest, size_anywhere) = _ABOUT_GOAL, _ANYWHERE
    about = log(weight) + _mixed(right, wrong, goal * size, (1 - goal) * size)
    anywhere = log(rest) + _mixed(right, wrong, size_anywhere / 2, size_anywhere / 2)
    most = max(about, anywhere)
    mixed = most + log(exp(about - most) + exp(anywhere - most))
    return mixed - (right * log(accuracy) if right else 0.0) - (wrong * log(1 - accuracy) if wrong else 0.0)


def _mixed(right: int, wrong: int, a: float, b: float) -> float:
    """The logarithm of the likelihood under a beta distribution of the accuracy."""
    return _log_beta(a + right, b + wrong) - _log_beta(a, b)


def _edge(right: int, seen: int, target: Target, outside: float, inside: float) -> float:
    """Where the interval ends, between an accuracy outside of it and the rate, which is always inside."""
    limit = -log(1 - target.confidence)
    for _ in range(_STEPS):
        middle = (outside + inside) / 2
        if _evidence(middle, right, seen, target.goal) >= limit:
            outside = middle
        else:
            inside = middle
    return outside


def _first(holds: Callable[[int], bool]) -> int:
    """The first number, by doubling and halving, for which something holds; one too large where none is found."""
    high = 1
    while not holds(high):
        if high > MOST_EXAMPLES:
            return high
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
