"""The limiter: how much work runs at a time, and in which order."""

from __future__ import annotations

import asyncio
import threading

import pytest

from ollama_mcp.media.limiter import CapacityLimiter, shared_limiter

WAIT = 20


async def _until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, WAIT)


class Job:
    """Work that says when it has begun and ends when it is told to."""

    def __init__(self) -> None:
        self.begun, self.end = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.end.wait(WAIT)
        return "done"


async def test_two_run_at_a_time_and_the_third_waits() -> None:
    limiter = CapacityLimiter()
    jobs = [Job() for _ in range(3)]
    tasks = [asyncio.create_task(limiter.run(job)) for job in jobs]
    await _until(jobs[0].begun)
    await _until(jobs[1].begun)
    assert not jobs[2].begun.is_set()
    jobs[0].end.set()
    await _until(jobs[2].begun)
    for job in jobs:
        job.end.set()
    assert await asyncio.gather(*tasks) == ["done"] * 3


async def test_a_heavy_one_runs_alone_and_is_not_overtaken() -> None:
    limiter = CapacityLimiter()
    first, heavy, last = Job(), Job(), Job()
    tasks = [asyncio.create_task(limiter.run(first))]
    await _until(first.begun)
    tasks.append(asyncio.create_task(limiter.run(heavy, 2)))
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(limiter.run(last)))
    await asyncio.sleep(0)
    assert not heavy.begun.is_set()
    assert not last.begun.is_set()
    first.end.set()
    await _until(heavy.begun)
    assert not last.begun.is_set()
    heavy.end.set()
    await _until(last.begun)
    last.end.set()
    await asyncio.gather(*tasks)


async def test_a_cancelled_call_keeps_its_units_until_its_thread_has_ended() -> None:
    limiter = CapacityLimiter()
    gone, next_one = Job(), Job()
    task = asyncio.create_task(limiter.run(gone, 2))
    await _until(gone.begun)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    waiting = asyncio.create_task(limiter.run(next_one))
    await asyncio.sleep(0)
    assert not next_one.begun.is_set()
    gone.end.set()
    await _until(next_one.begun)
    next_one.end.set()
    assert await waiting == "done"


async def test_a_call_cancelled_while_it_waits_releases_its_units() -> None:
    limiter = CapacityLimiter()
    running = Job()
    first = asyncio.create_task(limiter.run(running))
    await _until(running.begun)
    heavy = asyncio.create_task(limiter.run(lambda: "never", 2))
    await asyncio.sleep(0)
    heavy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await heavy
    assert await limiter.run(lambda: "free") == "free"
    running.end.set()
    await first
    assert await limiter.run(lambda: "both", 2) == "both"


async def test_an_error_of_the_work_reaches_the_caller_and_frees_its_units() -> None:
    limiter = CapacityLimiter()

    def failing() -> None:
        raise ValueError("broken")

    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            await limiter.run(failing, 2)


async def test_all_calls_of_one_event_loop_share_one_limiter() -> None:
    assert shared_limiter() is shared_limiter()
