"""Transfers of models: progress of a pull, push or create over all layers, and pulls that resume.

A pull resumes by itself after a lost connection, and with the next call after a cancel: Ollama keeps partial layers.
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

from ollama_mcp.errors import ApiError, Interrupted, Timeout, Unreachable
from ollama_mcp.formats.durations import format_seconds
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.hosts.recent import RecentDict
from ollama_mcp.server.formatting import format_bytes

if TYPE_CHECKING:
    from ollama_mcp.api import ProgressEvent, Stream
    from ollama_mcp.hosts import HostPool
    from ollama_mcp.server.call import Call
    from ollama_mcp.work.progress import Progress

RATE_SECONDS = 10.0
STALL_SECONDS = 10.0

MAX_RESUMES = 3
RESUME_DELAY_SECONDS = 1.0
# More than any network delivers before Ollama's first line: bytes reported so early were on the host before.
MIN_RESUMED_BYTES = 64_000_000

# Registries whose models come without a licence layer.
_WITHOUT_LICENCE = ("hf.co", "huggingface.co")

_MAX_UNFINISHED = 256
# Percentages of pulls that did not finish, by model, so that the next call can say where it resumes.
_unfinished: WeakKeyDictionary[HostPool, RecentDict[str, str]] = WeakKeyDictionary()


class TransferProgress:
    """Bytes of all layers reported so far, as one number that only grows, and the rate of the last ten seconds."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        # Total and completed bytes, by digest or file.
        self._already_there: dict[str, int] = {}
        self._recent: deque[tuple[float, int]] = deque()
        self._started_at = self._grew_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started_at

    @property
    def total(self) -> int:
        """Bytes of all layers that are known."""
        return sum(total for total, _ in self._layers.values())

    @property
    def completed(self) -> int:
        """Bytes that are done. It never decreases, though Ollama repeats lines and omits the number when it is 0."""
        return sum(done for _, done in self._layers.values())

    @property
    def bytes_to_load(self) -> int:
        """Bytes of all known layers, less what was done when each was first reported."""
        return self.total - sum(self._already_there.values())

    @property
    def percent(self) -> str:
        """The part that is done, as text: "43 %"."""
        return f"{100 * self.completed // self.total if self.total else 0} %"

    def add_event(self, event: ProgressEvent) -> None:
        """Count one event of the stream."""
        if event.digest and event.total:
            self.advance(event.digest, event.completed or 0, event.total)

    def advance(self, part: str, done: int, total: int) -> None:
        """Set how many bytes of a layer, or of a file, are done."""
        before = self._layers.get(part, (0, 0))[1]
        self._layers[part] = (total, max(before, min(done, total)))
        self._already_there.setdefault(part, min(done, total))
        now = time.monotonic()
        if self._layers[part][1] > before:
            self._grew_at = now
        self._recent.append((now, self.completed))
        while len(self._recent) > 2 and now - self._recent[0][0] > RATE_SECONDS:
            self._recent.popleft()

    def describe(self, title: str) -> str:
        """Title, bytes, rate and time left, in under 200 characters."""
        silent = time.monotonic() - self._grew_at
        if silent >= STALL_SECONDS:
            return f"{title}: stalled at {self._fraction()}, no data for {silent:.0f} s"
        rate = self._rate()
        left = (
            f", {format_seconds((self.total - self.completed) / rate)} left"
            if rate and self.completed < self.total
            else ""
        )
        speed = f" at {format_bytes(rate)}/s" if rate else ""
        return f"{title}: {self._fraction()}{speed}{left}"

    def _fraction(self) -> str:
        return f"{format_bytes(self.completed)} of {format_bytes(self.total)}"

    def _rate(self) -> float:
        if len(self._recent) < 2:
            return 0.0
        (first, before), (last, after) = self._recent[0], self._recent[-1]
        return (after - before) / (last - first) if last > first else 0.0


async def follow_stream(
    stream: Stream[ProgressEvent], progress: Progress, title: str, transfer: TransferProgress | None = None
) -> TransferProgress:
    """Read a stream to its end and report its progress. Cancelling closes the stream, which stops Ollama's work.

    Args:
        stream: The request; it is sent here.
        progress: Where to report.
        title: What is being done, with the name of the model.
        transfer: Where to count, if something was counted before, such as uploads; a new one by default.
    """
    counted = TransferProgress() if transfer is None else transfer
    async with progress.phase(title), stream as events:
        async for event in events:
            counted.add_event(event)
            await report_event(event, counted, progress, title)
    return counted


async def report_event(event: ProgressEvent, transfer: TransferProgress, progress: Progress, title: str) -> None:
    """Report an event that the transfer has counted."""
    if event.digest and event.total:
        await progress.update(transfer.completed, partial(transfer.describe, title), total=transfer.total)
    elif event.status:
        text = f"{title}: {event.status}"
        await progress.update(transfer.completed, text.__str__, total=transfer.total or None)


class Pull:
    """One download of a model.

    Args:
        call: The tool call.
        model: The model's name.
        insecure: Skip TLS checks.
        confirmed: The tool's `confirm` argument.
    """

    def __init__(self, call: Call, model: str, *, insecure: bool, confirmed: bool) -> None:
        self._call, self._model = call, model
        self._insecure, self._confirmed = insecure, confirmed
        self._title = f"pulling {model}"
        self._checked_disk = False
        # Bytes that the user agreed to download.
        self._approved_bytes = 0
        self._unfinished = _unfinished.setdefault(call.hosts, RecentDict(_MAX_UNFINISHED))
        self.transfer = TransferProgress()
        self.note: str | None = None

    async def run(self) -> None:
        """Download to the end. A lost connection is resumed, up to three times in a row without a new byte.

        Raises:
            NeedsConfirmation: The download exceeds `limits.pull_confirm_gb`, so the user has to agree.
            ApiError: The registry refuses, or the connection could not be resumed.
        """
        key = parse_name(self._model).key
        previous = self._unfinished.pop(key, "")
        try:
            async with self._call.progress.phase(f"{self._title}: resuming at {previous}" if previous else self._title):
                await self._resume_until_done()
        except BaseException:
            if 0 < self.transfer.completed < self.transfer.total:
                self._unfinished[key] = self.transfer.percent
            raise

    async def _resume_until_done(self) -> None:
        resumes = most_completed = 0
        while True:
            try:
                if await self._attempt():
                    return
            except (Interrupted, Timeout, Unreachable) as error:
                if self.transfer.completed > most_completed:
                    resumes, most_completed = 0, self.transfer.completed
                # A host that broke off may be restarting. One that has not answered at all is not waited for.
                if resumes == MAX_RESUMES or not (self.transfer.total or isinstance(error, Interrupted)):
                    raise self._final_error(error) from None
                resumes += 1
                await self._pause(resumes)

    async def _attempt(self) -> bool:
        """Follow one request to its end; False if it was closed to ask the user, and has to be sent again."""
        unasked_bytes = self._call.settings.limits.pull_confirm_gb * 1e9
        async with self._call.client.pull(self._model, insecure=self._insecure or None) as events:
            async for event in events:
                was_known = self.transfer.total
                self.transfer.add_event(event)
                # Ollama names the layers one after the other, so the size is known only while the pull runs.
                if self.transfer.bytes_to_load > self._approved_bytes + unasked_bytes:
                    excess = event
                    break
                await self._report(event, first=not was_known)
            else:
                return True
        # Outside the stream: Ollama downloads as long as it is open, and the user may take minutes.
        await self._confirm(excess)
        return False

    async def _confirm(self, excess: ProgressEvent) -> None:
        """Ask the user to approve all bytes that are known so far; `excess` is the layer that exceeds the limit.

        A yes is valid for a pull that reaches this same layer, in whatever order the layers before it came. In each
        pull it covers no more than these bytes and what needs no question.
        """
        await self._check_disk()
        size = format_bytes(self.transfer.bytes_to_load)
        await self._call.confirm(
            f"This downloads {size} to {self._call.client.base_url}. {self.note or ''}".strip(),
            subject=f"{self._model} {excess.digest} {excess.total}{' insecure' if self._insecure else ''}",
            confirmed=self._confirmed,
            action="pull",
        )
        self._approved_bytes = self.transfer.bytes_to_load

    async def _report(self, event: ProgressEvent, *, first: bool) -> None:
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
        """Warn, once, if the host is this machine and its disk is too small."""
        if self._checked_disk or not self._remaining:
            return
        self._checked_disk = True
        if not _is_local(self._call.client.base_url):
            return
        try:
            free = (await asyncio.to_thread(shutil.disk_usage, _models_folder())).free
        except OSError:
            return
        if free < self._remaining:
            self.note = f"Only {format_bytes(free)} are free on the disk, {format_bytes(self._remaining)} are needed."
            await self._call.progress.say(f"{self._title}: {self.note}")

    def _final_error(self, error: ApiError) -> ApiError:
        if self.transfer.total:
            error.message = f"{error.message} {self._model} is at {self.transfer.percent}, which is kept."
            error.next_step = f"Call ollama_pull_model(model={self._model!r}) again later: it resumes from there."
        return error

    @property
    def _remaining(self) -> int:
        return self.transfer.total - self.transfer.completed


async def check_replaceable(call: Call, model: str, *, confirmed: bool) -> None:
    """Let a pull take a name: a free one, one of a model that came from a registry, or one whose loss was confirmed.

    Ollama does not tell where a model came from. One that was created here names its parent, or has no licence, which
    the registry's models have; those of Hugging Face have none either.

    Raises:
        OllamaMCPError: As `Call.may_overwrite`, where the model that has the name was created here.
    """
    found = await call.hosts.find_model(model)
    if found is None or found.remote_host or call.hosts.has_created(found):
        return
    try:
        card = await call.client.show(found.name)
    except ApiError:
        # A model that Ollama cannot read is what a new pull mends.
        return
    parent = card.details.parent_model
    if not parent and (card.license or parse_name(found.name).host in _WITHOUT_LICENCE):
        return
    # Servers before v0.30 name a file by the blob that it was stored in.
    origin = "a file" if not parent or "sha256-" in parent else parent
    await call.may_overwrite(
        model,
        confirmed=confirmed,
        content="the registry's model",
        by=f"the registry's model of that name, though it seems to have been created here from {origin}",
    )


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _models_folder() -> str:
    """Where an Ollama on this machine most likely keeps its models; else the home folder, usually on the same disk."""
    home = os.path.expanduser("~")
    candidates = (os.environ.get("OLLAMA_MODELS", ""), os.path.join(home, ".ollama", "models"))
    return next((folder for folder in candidates if folder and os.path.isdir(folder)), home)
