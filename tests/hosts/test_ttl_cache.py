"""The cache of one value that may be a little old."""

from __future__ import annotations

import asyncio
from itertools import count

from ollama_mcp.hosts.ttl_cache import CoalescingTTLCache


async def test_an_older_value_serves_those_who_take_it_while_a_new_one_is_fetched():
    numbers, may_answer = count(1), asyncio.Event()
    may_answer.set()

    async def fetch() -> int:
        await may_answer.wait()
        return next(numbers)

    # What is kept is too old at once.
    cache = CoalescingTTLCache(fetch, seconds=-1.0)
    assert await cache.get() == 1
    may_answer.clear()
    assert await cache.get(usable_seconds=60.0) == 1
    may_answer.set()
    # One fetch for both.
    assert await cache.get(usable_seconds=0.0) == 2
    assert next(numbers) == 3


async def test_a_value_that_was_dropped_serves_nobody():
    numbers = count(1)

    async def fetch() -> int:
        return next(numbers)

    cache = CoalescingTTLCache(fetch)
    await cache.get()
    cache.invalidate()
    assert await cache.get(usable_seconds=60.0) == 2
