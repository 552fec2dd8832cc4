"""The choice of a host: the simulation of `bench/hosts.py`, and what makes two hosts equal."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from bench.hosts import BUSY, CASES, Case, expected_finish, loaded_first, p95
from ollama_mcp.hosts.choice import Outlook, choose

SEEDS = range(5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_expected_finish_answers_sooner_than_the_usual_policy(case: Case):
    usual, ours = p95(case, loaded_first, SEEDS), p95(case, expected_finish, SEEDS)
    if case.name == BUSY:
        assert ours.answer <= 0.5 * usual.answer
        assert ours.begin <= 0.5 * usual.begin
    else:
        assert ours.answer <= 1.05 * usual.answer


def test_calls_that_choose_at_the_same_moment_spread_over_equal_hosts():
    random.seed(1)
    equal = [Outlook(0, 2.0, 0) for _ in range(4)] + [Outlook(9, 2.0, 0)]
    chosen = Counter(choose(equal) for _ in range(400))
    assert chosen[4] == 0 and all(50 < chosen[place] < 150 for place in range(4))


def test_of_nearly_equal_hosts_the_one_that_begins_sooner_is_used():
    queued, idle = Outlook(backlog=2.0, request=2.0, load=0), Outlook(backlog=0, request=4.5, load=0)
    assert choose([queued, idle]) == 1
    assert choose([queued, Outlook(backlog=0, request=6.0, load=0)]) == 0


def test_a_load_counts_as_much_as_work_that_is_ahead():
    cold, busy = Outlook(0, 1.0, load=5.0), Outlook(backlog=8.0, request=1.0, load=0)
    assert choose([cold, busy]) == 0
    assert choose([cold, Outlook(backlog=3.0, request=1.0, load=0)]) == 1
