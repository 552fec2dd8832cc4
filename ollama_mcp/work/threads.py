"""Blocking work in threads, whose end a cancelled caller waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class _Closable(Protocol):
    def close(self) -> object: ...


C = TypeVar("C", bound=_Closable)


async def run_in_thread(work: Callable[[threading.Event], T]) -> T:
    """Run blocking work in a thread, and return only after it has ended.

    `asyncio.to_thread` alone returns at once when it is cancelled, while its thread goes on with files that the caller
    then closes. Here a cancellation sets the event that `work` is given, and waits until `work` has returned.
    """
    cancelled = threading.Event()
    task = asyncio.create_task(asyncio.to_thread(work, cancelled))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        cancelled.set()
        await _ended(task)
        raise


async def open_in_thread(opening: Callable[[], C]) -> C:
    """Open something in a thread; if the caller is cancelled meanwhile, it is closed again."""
    task = asyncio.create_task(asyncio.to_thread(opening))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_close)
        await _ended(task)
        raise


async def close_in_thread(opened: _Closable) -> None:
    """Close something in a thread, also where the caller is cancelled before the thread has begun."""
    await run_in_thread(lambda _: opened.close())


async def _ended(task: asyncio.Task[Any]) -> None:
    """Wait for the end of a task, however often that is cancelled: a scope of anyio cancels until it is left."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})


def _close(task: asyncio.Task[C]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def wait_for_first(task: asyncio.Task[Any], event: asyncio.Event, seconds: float) -> None:
    """Wait until a task ends, an event is set, or the time is up, whichever comes first."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
