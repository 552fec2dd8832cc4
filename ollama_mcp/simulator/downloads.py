"""Blobs on their way from a registry: kept when their last client leaves, shared while there are several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from ollama_mcp.simulator.store import Layer

# The real server reports the progress of a blob this often.
TICK = 0.06


@dataclass
class Download:
    """One blob; everybody who wants it watches the same progress."""

    layer: Layer
    completed: int = 0
    waiters: int = 0
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Downloads:
    """All blobs on their way.

    Args:
        speed: Bytes per second of this moment; 0 stands still.
        arrived: Called with each blob that is complete.
    """

    def __init__(self, speed: Callable[[], float], arrived: Callable[[Layer], None]) -> None:
        self._speed, self._arrived = speed, arrived
        self.partial: dict[str, Download] = {}

    async def watch(self, layer: Layer) -> AsyncGenerator[int]:
        """The bytes that are there, every few hundredths of a second, until all are; starts or resumes the download.

        Leaving early stops the download where nobody else watches it; what came is kept.
        """
        download = self.partial.setdefault(layer.digest, Download(layer))
        # The first watcher starts it, or starts it again where the last one had left.
        if download.task is None:
            download.task = asyncio.get_running_loop().create_task(self._transfer(download))
        download.waiters += 1
        try:
            while not download.finished.is_set():
                # Not asyncio.wait_for: a client that goes away must end its own watching and nothing else.
                await asyncio.wait([download.task], timeout=TICK)
                yield download.completed
        finally:
            download.waiters -= 1
            if not download.waiters and not download.finished.is_set():
                download.task.cancel()
                download.task = None

    async def close(self) -> None:
        """End all downloads."""
        tasks = [download.task for download in self.partial.values() if download.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _transfer(self, download: Download) -> None:
        total = download.layer.size
        while download.completed < total:
            speed = self._speed()
            await asyncio.sleep(min(TICK, (total - download.completed) / speed) if speed else TICK)
            # A stalled registry has no speed and the loop turns without progress.
            download.completed = min(total, download.completed + int(speed * TICK))
        del self.partial[download.layer.digest]
        self._arrived(download.layer)
        download.finished.set()
