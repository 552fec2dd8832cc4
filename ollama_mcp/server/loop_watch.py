"""Warns of a tool of the user's own that blocks the event loop, for all other calls wait meanwhile.

A thread looks on while such a tool runs, and only then: the shipped tools do not block, and cost nothing.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType

_PAUSE_SECONDS, _LIMIT_SECONDS = 0.5, 1.5
"""Between two looks, and how long one waits: together the shortest time of blocking that is always seen."""
_log = logging.getLogger("ollama_mcp.tools")


@dataclass(eq=False)
class _Running:
    """A call of a watched tool."""

    name: str
    code: CodeType
    loop: asyncio.AbstractEventLoop
    thread: int


_changed = threading.Condition()
_running: list[_Running] = []
_watcher: threading.Thread | None = None


@contextmanager
def watched(name: str, code: CodeType) -> Generator[None]:
    """Watch the running event loop while the block runs.

    Args:
        name: The tool's name.
        code: Its code, by which it is recognized on the stack.
    """
    global _watcher
    call = _Running(name, code, asyncio.get_running_loop(), threading.get_ident())
    with _changed:
        _running.append(call)
        if _watcher is None:
            _watcher = threading.Thread(target=_watch, name="loop_watch", daemon=True)
            _watcher.start()
    try:
        yield
    finally:
        with _changed:
            _running.remove(call)
            _changed.notify()


def _watch() -> None:
    global _watcher
    while True:
        with _changed:
            _changed.wait_for(lambda: not _running, _PAUSE_SECONDS)
            if not _running:
                _watcher = None
                return
            loops = {call.loop: call.thread for call in _running}
        for loop, thread in loops.items():
            _look(loop, thread)


def _look(loop: asyncio.AbstractEventLoop, thread: int) -> None:
    """Warn if the loop does not turn, and wait until it does."""
    turned = threading.Event()
    try:
        loop.call_soon_threadsafe(turned.set)
    except RuntimeError:
        return  # It is closed.
    if turned.wait(_LIMIT_SECONDS):
        return
    if name := _blocking(thread):
        _log.warning(
            "the tool %s blocks this server: no other call, progress or cancel gets through until it is done. "
            "Its code should await, or run what takes long by asyncio.to_thread.",
            name,
        )
    while not turned.wait(_LIMIT_SECONDS) and not loop.is_closed():
        pass


def _blocking(thread: int) -> str:
    """The name of the watched tool that a thread is in, or ""."""
    with _changed:
        names = {call.code: call.name for call in _running}
    frame = sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage] - documented all the same
    while frame is not None:
        if frame.f_code in names:
            return names[frame.f_code]
        frame = frame.f_back
    return ""
