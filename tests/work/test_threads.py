"""Work in threads: its end is waited for, and what it opens is closed, whoever gives it up meanwhile."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ollama_mcp.work.threads import close_in_thread, open_in_thread, run_in_thread
from tests.support import until


class Opened:
    """Something to close."""

    closed = False

    def close(self) -> None:
        self.closed = True


async def test_what_a_thread_opens_for_a_caller_that_was_cancelled_is_closed() -> None:
    opened, begun, go_on = Opened(), threading.Event(), threading.Event()

    def opening() -> Opened:
        begun.set()
        go_on.wait(30)
        return opened

    task = asyncio.create_task(open_in_thread(opening))
    await until(begun.is_set, 30)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert opened.closed


async def test_what_a_thread_opens_is_the_callers() -> None:
    opened = Opened()
    assert await open_in_thread(lambda: opened) is opened
    assert not opened.closed


async def test_the_end_of_a_thread_is_waited_for_however_often_its_caller_is_cancelled() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(cancelled: threading.Event) -> None:
        begun.set()
        cancelled.wait(30)
        go_on.wait(30)

    task = asyncio.create_task(run_in_thread(work))
    await until(begun.is_set, 30)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_closed_in_a_thread_is_closed_however_often_that_is_cancelled() -> None:
    opened, end = Opened(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        # So that the thread comes to it only later.
        before = asyncio.create_task(asyncio.to_thread(end.wait))
        await asyncio.sleep(0)
        closing = asyncio.create_task(close_in_thread(opened))
        for _ in range(3):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            closing.cancel()
        end.set()
        await asyncio.gather(before, closing, return_exceptions=True)
    assert closing.cancelled() and opened.closed
