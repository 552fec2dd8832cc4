"""How many requests at a time are found to be worth it, on hosts that are simulated event by event."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from ollama_mcp.store import Tuning
from ollama_mcp.work.parallel import LARGE, MOST_PARALLEL, Ramp, described

SECONDS = 0.04


class Host:
    """Works on requests under a clock of its own, which jumps from event to event.

    Args:
        slots: Requests that run at a time; others wait.
        most: Requests a second that it does at most, however many run.
        cpu: The share of a core that this process uses.
        seconds: What each request takes by itself, in their order.
    """

    def __init__(
        self, slots: int = 99, most: float = 1e9, cpu: float = 0.1, seconds: Callable[[int], float] = lambda _: SECONDS
    ) -> None:
        self.now = 0.0
        self.sent = 0
        self._slots, self._most, self._seconds = [0.0] * slots, most, seconds
        self._next = self._waited = self._worked = 0.0
        self.ramp = Ramp(lambda: (self._waited, self._worked), lambda: self.now, lambda: cpu * self.now)

    def run(self, failed: Callable[[int], bool] = lambda _: False) -> Ramp:
        """Send requests as the ramp wants, until it is done."""
        out: list[tuple[float, int, float, float, float]] = []
        numbers: Iterator[int] = count()
        while not self.ramp.is_done:
            while len(out) < self.ramp.parallel:
                heapq.heappush(out, self._send(next(numbers)))
            self.now, number, begun, waited, worked = heapq.heappop(out)
            self._waited, self._worked = self._waited + waited, self._worked + worked
            self.ramp.end(begun, failed=failed(number))
        return self.ramp

    def _send(self, number: int) -> tuple[float, int, float, float, float]:
        self.sent += 1
        begin = max(self.now, heapq.heappop(self._slots))
        end = max(begin + self._seconds(number), self._next)
        self._next = max(self._next, self.now) + 1 / self._most
        heapq.heappush(self._slots, end)
        return end, number, self.ramp.begin(), begin - self.now, end - begin


@pytest.mark.parametrize("slots", [1, 2, 4, 8, 16])
def test_the_slots_of_the_host_are_found_and_named(slots: int):
    result = Host(slots=slots).run().result
    assert result is not None
    assert (result.parallel, result.limited_by, result.slots) == (slots, "slots", slots)
    assert "OLLAMA_NUM_PARALLEL" in described(result, "m")


def test_slots_between_two_steps_are_used_whole():
    result = Host(slots=3).run().result
    assert result is not None
    assert (result.parallel, result.limited_by, result.slots) == (4, "slots", 3)


@pytest.mark.parametrize(("cpu", "named"), [(0.1, "engine"), (0.95, "process")])
def test_a_host_that_does_no_more_is_told_from_a_process_that_does_not(cpu: float, named: str):
    result = Host(most=8 / SECONDS, cpu=cpu).run().result
    assert result is not None
    assert (result.parallel, result.limited_by, result.slots) == (8, named, 0)


def test_where_each_step_gains_all_are_tried_with_less_than_a_large_batch():
    host = Host()
    result = host.run().result
    assert result is not None
    assert (result.parallel, result.limited_by) == (MOST_PARALLEL, "none")
    assert list(result.steps) == [1, 2, 4, 8, 16, 32]
    assert host.sent < LARGE


def test_loading_and_a_request_that_takes_an_hour_do_not_count():
    odd = {0: 90.0, 20: 3600.0, 45: 3600.0}
    result = Host(seconds=lambda number: odd.get(number, SECONDS)).run().result
    assert result is not None
    assert result.parallel == MOST_PARALLEL
    assert result.steps[1] == pytest.approx(1 / SECONDS)


def test_what_fails_at_once_is_no_measure():
    quick = {number: SECONDS if number % 2 else 0.0001 for number in range(2_000)}
    result = Host(slots=4, seconds=quick.__getitem__).run(failed=lambda number: number % 2 == 0).result
    assert result is not None
    assert result.steps[1] == pytest.approx(1 / SECONDS)


def test_a_host_that_fails_ends_it_at_the_best_so_far_and_without_a_result():
    host = Host()
    host.ramp.give_up()
    assert host.ramp.is_done and host.ramp.result is None and host.ramp.parallel == 4


@pytest.mark.parametrize(
    ("limited_by", "said"),
    [("gpu", "GPU"), ("engine", "engine"), ("process", "this process"), ("none", "nothing is the limit")],
)
def test_each_limit_is_named(limited_by: Any, said: str):
    assert said in described(Tuning(8, limited_by), "m")
