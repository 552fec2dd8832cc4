"""A pull that goes on where it was: after a lost connection by itself, after a cancel with the next call."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from ollama_mcp.errors import Interrupted, Timeout, Unreachable
from ollama_mcp.formats.names import parse_name
from ollama_mcp.server.text import size
from ollama_mcp.server.transfers import Transfer, report

if TYPE_CHECKING:
    from ollama_mcp.api import ProgressEvent
    from ollama_mcp.errors import ApiError
    from ollama_mcp.hosts import HostPool
    from ollama_mcp.server.call import Call

RESUMES = 3
PAUSE_SECONDS = 1.0
# More than any network brings before Ollama's first line: what is there so early was there before.
RESUMED_BYTES = 64_000_000

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
        self.transfer = Transfer()
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
                self._known[key] = self.transfer.share
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
                if resumes == RESUMES or not (self.transfer.total or isinstance(error, Interrupted)):
                    raise self._given_up(error) from None
                resumes += 1
                await self._pause(resumes)

    async def _attempt(self) -> bool:
        """Follow one request to its end; False when it was left to ask the user."""
        async with self._call.client.pull(self._model, insecure=self._insecure or None) as events:
            async for event in events:
                was_known = self.transfer.total
                self.transfer.note(event)
                if self.transfer.to_load > self._agreed + self._call.settings.limits.pull_confirm_gb * 1e9:
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
            f"This downloads {size(self.transfer.to_load)} to {self._call.client.base_url}. {self.note or ''}".strip(),
            subject=f"{self._model} {large.digest} {large.total}",
            confirmed=self._confirmed,
            action="pull",
        )
        self._agreed = self.transfer.to_load

    async def _tell(self, event: ProgressEvent, *, first: bool) -> None:
        if event.digest:
            await self._check_disk()
        if first and RESUMED_BYTES <= self.transfer.completed < self.transfer.total:
            await self._call.progress.say(f"{self._title}: resuming at {self.transfer.share}")
        await report(event, self.transfer, self._call.progress, self._title)

    async def _pause(self, resumes: int) -> None:
        seconds = PAUSE_SECONDS * 2 ** (resumes - 1) * random.uniform(0.5, 1.5)
        await self._call.progress.say(
            f"{self._title}: connection lost at {self.transfer.share}, resuming in {seconds:.0f} s"
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
            self.note = f"Only {size(free)} are free on the disk, {size(self._left)} are to be loaded."
            await self._call.progress.say(f"{self._title}: {self.note}")

    def _given_up(self, error: ApiError) -> ApiError:
        if self.transfer.total:
            error.message = f"{error.message} {self._model} is at {self.transfer.share}; what came is kept."
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
