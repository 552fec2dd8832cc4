"""The model registry that pulls and pushes reach, and the downloads in progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from ollama_mcp.simulator.store import Layer, StoredModel

# Seconds between two progress reports of a blob, as the real server sends them.
PROGRESS_INTERVAL = 0.06


@dataclass
class Registry:
    """What pulls and pushes find.

    Args:
        up: Whether any registry responds.
        hosts: Registries besides Ollama's own, as host:port; they speak plain HTTP.
        models: Further models that can be pulled, by model name without tag.
        disk_free: Bytes left on the disk of the server; None means no limit.
        stalled: Whether downloads make no progress.
    """

    up: bool = True
    hosts: set[str] = field(default_factory=set[str])
    models: dict[str, StoredModel] = field(default_factory=dict[str, StoredModel])
    disk_free: int | None = None
    stalled: bool = False


@dataclass
class Download:
    """One blob in transfer, shared by all pulls that need it."""

    layer: Layer
    completed: int = 0
    watchers: int = 0
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Downloads:
    """All blobs in transfer; a partial one is kept when its last client disconnects.

    Args:
        bytes_per_second: Gives the current speed; 0 makes no progress.
        on_complete: Called with each complete blob.
    """

    def __init__(self, bytes_per_second: Callable[[], float], on_complete: Callable[[Layer], None]) -> None:
        self._bytes_per_second, self._on_complete = bytes_per_second, on_complete
        self.partial: dict[str, Download] = {}

    async def watch(self, layer: Layer) -> AsyncGenerator[int]:
        """Start or resume a download and report its completed bytes at every interval until it ends.

        Closing the generator stops the download if nobody else watches it; the completed bytes are kept.
        """
        download = self.partial.setdefault(layer.digest, Download(layer))
        if download.task is None:
            download.task = asyncio.get_running_loop().create_task(self._transfer(download))
        download.watchers += 1
        try:
            while not download.finished.is_set():
                # Not asyncio.wait_for: it would cancel the shared task when one client disconnects.
                await asyncio.wait([download.task], timeout=PROGRESS_INTERVAL)
                yield download.completed
        finally:
            download.watchers -= 1
            if not download.watchers and not download.finished.is_set():
                download.task.cancel()
                download.task = None

    async def close(self) -> None:
        """Cancel all downloads."""
        tasks = [download.task for download in self.partial.values() if download.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _transfer(self, download: Download) -> None:
        total = download.layer.size
        while download.completed < total:
            speed = self._bytes_per_second()
            remaining = total - download.completed
            await asyncio.sleep(min(PROGRESS_INTERVAL, remaining / speed) if speed else PROGRESS_INTERVAL)
            # A stalled registry has speed 0: the loop keeps running and picks up when the stall ends.
            download.completed = min(total, download.completed + int(speed * PROGRESS_INTERVAL))
        del self.partial[download.layer.digest]
        self._on_complete(download.layer)
        download.finished.set()
