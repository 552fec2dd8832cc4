"""Progress notifications: at once, at least every 10 s while Ollama is silent, at most five a second otherwise.

Hosts show the message on the running tool's row and cut it at 200 characters, so the newest words stand last. The
number must grow with each notification; it is the units done so far plus the heartbeats sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from ollama_mcp.formats.escaping import escape

HEARTBEAT_SECONDS = 10.0
SHORTEST_GAP_SECONDS = 0.2
MESSAGE_CHARS = 199

Send = Callable[[float, float | None, str], Awaitable[None]]


class Progress:
    """Progress of one call; without a token from the client (`send` is None) it is only kept, for a job to show.

    Attributes:
        send: Sends a notification; None where the client asked for none, or has its answer.
        begun: Set when the first phase begins: the arguments are checked, the host is asked.
        moved: Set when the first unit is done, or how many there are is known.
        done: Units done so far (tokens, bytes).
        total: Units in all, where that is known.
        text: Gives what the model has written so far; set by who reads the answer.
        model: The model that the call uses, once it is chosen.
        job: The id of the job that the call is by now, or "".
        run: The number in the store of the batch whose rows others work on for it; 0 for none.
        queued: Says what the call waits for before it is sent; set by the queue of its host.
    """

    def __init__(self, send: Send | None) -> None:
        self.send = send
        self._beats = 0
        self._last = -1.0
        self._sent_at = float("-inf")
        self._phase: Callable[[float], str] = lambda seconds: "working"
        self._since = time.monotonic()
        self._late: tuple[float, Callable[[], str], float | None] | None = None
        self.begun = asyncio.Event()
        self.moved = asyncio.Event()
        self.done = 0.0
        self.total: float | None = None
        self.text: Callable[[], str] = str
        self.model = self.job = ""
        self.run = 0
        self.queued: Callable[[], str] | None = None
        self._first: tuple[float, float] | None = None

    @asynccontextmanager
    async def phase(self, text: str) -> AsyncGenerator[None]:
        """Say `text` now and, with the seconds gone, every 10 s until the block ends."""
        self._since = time.monotonic()
        self._phase = lambda seconds: f"{text} ({seconds:.0f} s)"
        self.begun.set()
        if self.send is None:
            yield
            return
        await self._notify(text)
        beat = asyncio.create_task(self._heartbeat())
        try:
            yield
        finally:
            beat.cancel()

    def described(self) -> str:
        """How far it is, in words."""
        return self._phase(time.monotonic() - self._since)

    def pace(self) -> tuple[float, float | None]:
        """Units per second since the first was done, and the seconds left at that; 0 where it cannot be told.

        What another process does, or did, is not measured here.
        """
        if self._first is None:
            return 0.0, None
        began, first = self._first
        rate = (self.done - first) / max(time.monotonic() - began, 1e-3)
        if rate <= 0:
            return 0.0, None
        return rate, None if self.total is None else max(0.0, self.total - self.done) / rate

    def detach(self) -> None:
        """Tell the client nothing more: the call has its answer, while its work goes on."""
        self.send = self._late = None

    async def say(self, text: str | Callable[[], str]) -> None:
        """Say something now and let the heartbeats go on with it; a function is asked each time."""

        def said() -> str:
            return text if isinstance(text, str) else text()

        self._phase = lambda seconds: f"{said()} ({seconds:.0f} s)"
        await self._notify(said())

    async def update(self, done: float, text: Callable[[], str], total: float | None = None) -> None:
        """Report units done (tokens, bytes); kept back for a moment when the last notification is under 0.2 s old.

        `text` is asked only when a notification is due: making it may cost more than the unit did.
        """
        if done < self.done or not self.done:
            self._first = (time.monotonic(), done)
        self.done, self.total = done, total
        self._phase = lambda seconds: text()
        if done or total:
            self.moved.set()
        if self.send is None:
            return
        if time.monotonic() - self._sent_at >= SHORTEST_GAP_SECONDS:
            await self._notify(text(), done, total)
        else:
            self._late = (done, text, total)

    async def _heartbeat(self) -> None:
        while self.send is not None:
            await asyncio.sleep(min(SHORTEST_GAP_SECONDS, HEARTBEAT_SECONDS))
            silent = time.monotonic() - self._sent_at
            if self._late is not None and silent >= SHORTEST_GAP_SECONDS:
                done, text, total = self._late
                await self._notify(text(), done, total)
            elif silent >= HEARTBEAT_SECONDS:
                await self._notify(self._phase(time.monotonic() - self._since))

    async def _notify(self, text: str, done: float | None = None, total: float | None = None) -> None:
        if self.send is None:
            return
        value = self._last + 1 if done is None else done + self._beats
        if done is None:
            self._beats += 1
        if value <= self._last:
            value = self._last + 1
        self._last, self._sent_at, self._late = value, time.monotonic(), None
        await self.send(value, None if total is None else max(total + self._beats, value), newest(text))


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 file", "2,000 files"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def newest(text: str) -> str:
    """The last words of a text, on one line and within what hosts show."""
    # The words come from the model or the host: none may move the cursor of a terminal.
    line = escape(text[-4 * MESSAGE_CHARS :], 40 * MESSAGE_CHARS)
    return line if len(line) <= MESSAGE_CHARS else f"…{line[1 - MESSAGE_CHARS :]}"
