"""One monotonic number for the whole of a pull, push or create, over its many layers.

A pull that goes on where it was: after a lost connection by itself, after a cancel with the next call.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from ollama_mcp.errors import Interrupted, Timeout, Unreachable
from ollama_mcp.formats.durations import format_seconds
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.server.formatting import format_bytes

if TYPE_CHECKING:
    from ollama_mcp.api import ProgressEvent, Stream
    from ollama_mcp.errors import ApiError
    from ollama_mcp.hosts import HostPool
    from ollama_mcp.server.call import Call
    from ollama_mcp.work.progress import Progress


RATE_SECONDS = 10.0
STALL_SECONDS = 10.0


class TransferProgress:
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
    def bytes_to_load(self) -> int:
        """Bytes of the layers that are known, without what was there when each was first heard of."""
        return self.total - sum(self._there_before.values())

    @property
    def percent(self) -> str:
        """How much of it is done: "43 %"."""
        return f"{100 * self.completed // self.total if self.total else 0} %"

    def add_event(self, event: ProgressEvent) -> None:
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
            return f"{title}: stalled at {format_bytes(self.completed)} of {format_bytes(self.total)}, no byte for {silent:.0f} s"
        rate = self._rate()
        left = (
            f", {format_seconds((self.total - self.completed) / rate)} left"
            if rate and self.completed < self.total
            else ""
        )
        speed = f" at {format_bytes(rate)}/s" if rate else ""
        return f"{title}: {format_bytes(self.completed)} of {format_bytes(self.total)}{speed}{left}"

    def _rate(self) -> float:
        if len(self._recent) < 2:
            return 0.0
        (first, before), (last, after) = self._recent[0], self._recent[-1]
        return (after - before) / (last - first) if last > first else 0.0


async def follow_stream(
    stream: Stream[ProgressEvent], progress: Progress, title: str, transfer: TransferProgress | None = None
) -> TransferProgress:
    """Read the stream to its end, reporting progress; leaving early closes it, which stops Ollama's work.

    Args:
        stream: The request; sent here.
        progress: Where to report.
        title: What is done, with the model's name.
        transfer: Counts what went before, such as uploads; a new one by default.
    """
    counted = TransferProgress() if transfer is None else transfer
    async with progress.phase(title), stream as events:
        async for event in events:
            counted.add_event(event)
            await report_event(event, counted, progress, title)
    return counted


async def report_event(event: ProgressEvent, transfer: TransferProgress, progress: Progress, title: str) -> None:
    """Tell the client of an event that the transfer has taken in."""
    if event.digest and event.total:
        await progress.update(transfer.completed, partial(transfer.describe, title), total=transfer.total)
    elif event.status:
        said = f"{title}: {event.status}"
        await progress.update(transfer.completed, said.__str__, total=transfer.total or None)


MAX_RESUMES = 3
RESUME_DELAY_SECONDS = 1.0
# More than any network brings before Ollama's first line: what is there so early was there before.
MIN_RESUMED_BYTES = 64_000_000

# How far the pulls came that did not end, by model, for the first words of the next try.
_unfinished: WeakKeyDictionary[HostPool, dict[str, str]] = WeakKeyDictionary()


class Pull:
    """One download of a model.

    Args:
        call: The tool call.
        model: The model's name.
        insecure: Without TLS checks.
        confirmed: The tool's `confirm` argument.
    """

    def __init__(self, call: Call, model: str, *, insecure: bool, confirmed: bool) -> None:
        self._call, self._model = call, model
        self._insecure, self._confirmed = insecure, confirmed
        self._title = f"pulling {model}"
        self._checked_disk = False
        # Bytes that the user agreed to load.
        self._agreed = 0
        self._known = _unfinished.setdefault(call.hosts, {})
        self.transfer = TransferProgress()
        self.note: str | None = None

    async def run(self) -> None:
        """Download until all is there; a lost connection is taken up again, three times in a row without a new byte.

        Raises:
            NeedsConfirmation: More than `limits.pull_confirm_gb` is to be loaded, and the user has to agree.
            ApiError: The registry refuses, or the connection stays lost.
        """
        key = parse_name(self._model).key
        before = self._known.pop(key, "")
        try:
            async with self._call.progress.phase(f"{self._title}: resuming at {before}" if before else self._title):
                await self._resume_until_done()
        except BaseException:
            if 0 < self.transfer.completed < self.transfer.total:
                self._known[key] = self.transfer.percent
            raise

    async def _resume_until_done(self) -> None:
        resumes = came = 0
        while True:
            try:
                if await self._attempt():
                    return
            except (Interrupted, Timeout, Unreachable) as error:
                if self.transfer.completed > came:
                    resumes, came = 0, self.transfer.completed
                # A host that never said a word is not waited for; one that broke off may be restarting.
                if resumes == MAX_RESUMES or not (self.transfer.total or isinstance(error, Interrupted)):
                    raise self._given_up(error) from None
                resumes += 1
                await self._pause(resumes)

    async def _attempt(self) -> bool:
        """Follow one request to its end; False when it was left to ask the user."""
        async with self._call.client.pull(self._model, insecure=self._insecure or None) as events:
            async for event in events:
                was_known = self.transfer.total
                self.transfer.add_event(event)
                if self.transfer.bytes_to_load > self._agreed + self._call.settings.limits.pull_confirm_gb * 1e9:
                    large = event
                    break
                await self._tell(event, first=not was_known)
            else:
                return True
        await self._ask(large)
        return False

    async def _ask(self, large: ProgressEvent) -> None:
        """Ask the user for all that is known so far; `large` is the layer that made it too much.

        A yes is good for a pull that comes to this very layer, whatever was heard of before it, and covers in each pull
        no more than that and what needs no question.
        """
        await self._check_disk()
        await self._call.confirm(
            f"This downloads {format_bytes(self.transfer.bytes_to_load)} to {self._call.client.base_url}. {self.note or ''}".strip(),
            subject=f"{self._model} {large.digest} {large.total}",
            confirmed=self._confirmed,
            action="pull",
        )
        self._agreed = self.transfer.bytes_to_load

    async def _tell(self, event: ProgressEvent, *, first: bool) -> None:
        if event.digest:
            await self._check_disk()
        if first and MIN_RESUMED_BYTES <= self.transfer.completed < self.transfer.total:
            await self._call.progress.say(f"{self._title}: resuming at {self.transfer.percent}")
        await report_event(event, self.transfer, self._call.progress, self._title)

    async def _pause(self, resumes: int) -> None:
        seconds = RESUME_DELAY_SECONDS * 2 ** (resumes - 1) * random.uniform(0.5, 1.5)
        await self._call.progress.say(
            f"{self._title}: connection lost at {self.transfer.percent}, resuming in {seconds:.0f} s"
        )
        await asyncio.sleep(seconds)

    async def _check_disk(self) -> None:
        """Warn, once, where the host is this machine and its disk is too small."""
        if self._checked_disk or not self._left:
            return
        self._checked_disk = True
        if not _is_local(self._call.client.base_url):
            return
        try:
            free = (await asyncio.to_thread(shutil.disk_usage, _models_folder())).free
        except OSError:
            return
        if free < self._left:
            self.note = f"Only {format_bytes(free)} are free on the disk, {format_bytes(self._left)} are to be loaded."
            await self._call.progress.say(f"{self._title}: {self.note}")

    def _given_up(self, error: ApiError) -> ApiError:
        if self.transfer.total:
            error.message = f"{error.message} {self._model} is at {self.transfer.percent}; what came is kept."
            error.next_step = f"Call ollama_pull_model(model={self._model!r}) again later: it goes on from there."
        return error

    @property
    def _left(self) -> int:
        return self.transfer.total - self.transfer.completed


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _models_folder() -> str:
    """Where an Ollama of this machine most likely keeps its models; else home, which mostly lies on the same disk."""
    home = os.path.expanduser("~")
    named = (os.environ.get("OLLAMA_MODELS", ""), os.path.join(home, ".ollama", "models"))
    return next((folder for folder in named if folder and os.path.isdir(folder)), home)
