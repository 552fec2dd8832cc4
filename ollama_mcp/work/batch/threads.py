"""Long work in a thread that ends before its caller does: what it reads and writes can be closed afterwards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[threading.Event], T]) -> T:
    """Run work in a thread; cancelled, it sets the work's event and waits until that has ended."""
    given_up = threading.Event()
    task = asyncio.create_task(asyncio.to_thread(work, given_up))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        given_up.set()
        await asyncio.wait({task})
        raise
