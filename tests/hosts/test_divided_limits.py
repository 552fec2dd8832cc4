"""The limits of a host that several processes use: what part of them each keeps to."""

from __future__ import annotations

import asyncio
import math
import random
import time

import pytest

from ollama_mcp.api.http_session import ApiRequest
from ollama_mcp.fleet.shared_hosts import claim, host_key, share
from ollama_mcp.hosts.others import OtherProcesses
from ollama_mcp.hosts.queue import HostQueue, Ticket
from tests.support import until


def request() -> ApiRequest:
    return ApiRequest("POST", "/api/chat", model="m")


def entered(queue: HostQueue, number: int) -> list[asyncio.Task[Ticket]]:
    return [asyncio.create_task(queue.enter(request())) for _ in range(number)]


async def test_a_smaller_part_lets_what_was_sent_end_and_a_larger_one_sends_at_once():
    queue = HostQueue("gpu", in_flight=4, waiting=10)
    tasks = entered(queue, 6)
    await until(lambda: queue.sent == 4 and queue.waiting == 2)
    queue.divide((2, 0), None)
    assert (queue.sent, queue.part, queue.limits) == (4, (2, 0), (4, 0))
    sent = [task.result() for task in tasks if task.done()]
    for ticket in sent[:2]:
        ticket.leave()
    assert (queue.sent, queue.waiting) == (2, 2)
    sent[2].leave()
    assert (queue.sent, queue.waiting) == (2, 1)
    queue.divide(queue.limits, None)
    assert (queue.sent, queue.waiting) == (3, 0)
    assert len(await asyncio.gather(*tasks)) == 6


async def test_a_part_of_what_a_host_does_at_once_holds_whatever_the_model():
    queue = HostQueue("gpu", in_flight=9, waiting=10, at_once=4)
    queue.divide((4, 2), None)
    tasks = [asyncio.create_task(queue.enter(ApiRequest("POST", "/api/chat", model=name))) for name in "abc"]
    await until(lambda: queue.sent == 2 and queue.waiting == 1)
    queue.divide((4, 3), None)
    assert queue.sent == 3
    await asyncio.gather(*tasks)


async def test_what_others_do_counts_where_this_process_knows_nothing():
    queue = HostQueue("gpu", in_flight=4, waiting=10)
    now = time.monotonic()
    queue.divide((2, 0), OtherProcesses(1, {"m": 3, "n": 1}, {"m": 2.5}, {"m": now}))
    await queue.enter(request())
    (key,) = queue.counts
    assert sum(queue.ahead().values()) == 5 and queue.ahead()["n"] == 1
    assert queue.request_seconds("m") == 2.5 and queue.request_seconds("n") is None
    assert queue.last_answer("m") == now and queue.last_answer("n") == -math.inf
    queue.divide(queue.limits, None)
    assert queue.ahead() == {key: 1} and queue.request_seconds("m") is None


@pytest.mark.parametrize(
    ("limit", "busy", "parts"),
    [
        (4, [True, True], [2, 2]),
        (4, [False, False], [2, 2]),
        (4, [True, False], [4, 1]),
        (4, [True, False, False, False, False], [4, 1, 1, 1, 1]),
        (7, [True, True, True], [2, 2, 2]),
        (256, [True, True, False, False, False], [110, 110, 12, 12, 12]),
        # Each may send one, however many there are.
        (2, [True, True, True], [1, 1, 1]),
    ],
)
def test_a_limit_is_divided_by_those_that_have_something_to_do(limit: int, busy: list[bool], parts: list[int]):
    held = [1] * len(busy)
    for _ in range(3):
        tell(limit, busy, held)
    assert held == parts


def tell(limit: int, busy: list[bool], held: list[int]) -> None:
    """Let each process tell the others once, in turn."""
    for me in range(len(busy)):
        others = [claim(held[other], 0, is_busy=busy[other]) for other in range(len(busy)) if other != me]
        held[me] = share(limit, is_busy=busy[me], others=others)


def test_one_that_is_alone_has_the_whole_limit():
    assert [share(5, is_busy=is_busy, others=[]) for is_busy in (True, False)] == [5, 5]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_they_do_all_together_stay_within_the_limit_but_for_one_request_of_each_that_was_idle(seed: int):
    chance = random.Random(seed)
    processes = chance.randint(2, 6)
    limit = chance.randint(processes, 40)
    # The first has all until it hears of the others; what it has sent by then it holds until that ends.
    busy, held, running = [False] * processes, [1] * processes, [0] * processes
    held[0] = running[0] = limit - processes + 1
    idle = processes - 1
    for _ in range(200):
        me = chance.randrange(processes)
        busy[me] = chance.random() < 0.6
        running[me] = chance.randint(0, running[me])
        others = [claim(held[at], running[at], is_busy=busy[at]) for at in range(processes) if at != me]
        held[me] = share(limit, is_busy=busy[me], others=others)
        running[me] = max(running[me], chance.randint(0, held[me]))
        assert sum(map(max, held, running)) <= limit + idle
    assert min(held) >= 1


def test_a_host_is_the_same_for_all_but_on_loopback():
    assert host_key("http://GPU.example:11434") == host_key("http://user:secret@gpu.example:11434")
    assert host_key("http://gpu:11434/a") != host_key("http://gpu:11434/b") != host_key("https://gpu:11434/b")
    assert host_key("http://gpu:11434").endswith("gpu:11434")
    for name in ("127.0.0.1", "localhost", "[::1]", "a.localhost"):
        assert f"{name}:1 of " in host_key(f"http://{name}:1")
