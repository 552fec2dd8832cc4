"""One monotonic number for the whole of a pull, push or create, over its many layers."""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from ollama_mcp.formats.durations import shown_seconds
from ollama_mcp.server.text import size

if TYPE_CHECKING:
    from ollama_mcp.api import ProgressEvent, Stream
    from ollama_mcp.server.progress import Progress

RATE_SECONDS = 10.0
STALL_SECONDS = 10.0


class Transfer:
    """Bytes of all layers seen so far, with the rate of the last ten seconds."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._there_before: dict[str, int] = {}
        self._recent: deque[tuple[float, int]] = deque()
        self._started = self._grew = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    @property
    def total(self) -> int:
        """Bytes of the layers that are known."""
        return sum(total for total, _ in self._layers.values())

    @property
    def completed(self) -> int:
        """Bytes that are done; never goes back, though Ollama repeats lines and leaves the number out at 0."""
        return sum(done for _, done in self._layers.values())

    @property
    def to_load(self) -> int:
        """Bytes of the layers that are known, without what was there when each was first heard of."""
        return self.total - sum(self._there_before.values())

    @property
    def share(self) -> str:
        """How much of it is done: "43 %"."""
        return f"{100 * self.completed // self.total if self.total else 0} %"

    def note(self, event: ProgressEvent) -> None:
        """Take in one event of the stream."""
        if event.digest and event.total:
            self.advance(event.digest, event.completed or 0, event.total)

    def advance(self, part: str, done: int, total: int) -> None:
        """Take in that so many bytes of a layer, or of a file, are done."""
        before = self._layers.get(part, (0, 0))[1]
        self._layers[part] = (total, max(before, min(done, total)))
        self._there_before.setdefault(part, min(done, total))
        now = time.monotonic()
        if self._layers[part][1] > before:
            self._grew = now
        self._recent.append((now, self.completed))
        while len(self._recent) > 2 and now - self._recent[0][0] > RATE_SECONDS:
            self._recent.popleft()

    def describe(self, title: str) -> str:
        """Title, share, rate and time left in under 200 characters."""
        silent = time.monotonic() - self._grew
        if silent >= STALL_SECONDS:
            return f"{title}: stalled at {size(self.completed)} of {size(self.total)}, no byte for {silent:.0f} s"
        rate = self._rate()
        left = (
            f", {shown_seconds((self.total - self.completed) / rate)} left"
            if rate and self.completed < self.total
            else ""
        )
        speed = f" at {size(rate)}/s" if rate else ""
        return f"{title}: {size(self.completed)} of {size(self.total)}{speed}{left}"

    def _rate(self) -> float:
        if len(self._recent) < 2:
            return 0.0
        (first, before), (last, after) = self._recent[0], self._recent[-1]
        return (after - before) / (last - first) if last > first else 0.0


async def follow(
    stream: Stream[ProgressEvent], progress: Progress, title: str, transfer: Transfer | None = None
) -> Transfer:
    """Read the stream to its end, reporting progress; leaving early closes it, which stops Ollama's work.

    Args:
        stream: The request; sent here.
        progress: Where to report.
        title: What is done, with the model's name.
        transfer: Counts what went before, such as uploads; a new one by default.
    """
    counted = Transfer() if transfer is None else transfer
    async with progress.phase(title), stream as events:
        async for event in events:
            counted.note(event)
            await report(event, counted, progress, title)
    return counted


async def report(event: ProgressEvent, transfer: Transfer, progress: Progress, title: str) -> None:
    """Tell the client of an event that the transfer has taken in."""
    if event.digest and event.total:
        await progress.update(transfer.completed, partial(transfer.describe, title), total=transfer.total)
    elif event.status:
        said = f"{title}: {event.status}"
        await progress.update(transfer.completed, said.__str__, total=transfer.total or None)
