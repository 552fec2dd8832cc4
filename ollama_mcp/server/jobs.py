"""Long calls: their work runs beside them, goes on as a job when the client would not wait, and is kept for a while."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any, Literal, cast

from mcp.types import CallToolResult, TextContent

from ollama_mcp.errors import Busy, InvalidArgument
from ollama_mcp.server.caller import Caller
from ollama_mcp.server.confirmation import Consent
from ollama_mcp.server.progress import Progress, newest

log = logging.getLogger(__name__)

State = Literal["running", "done", "failed", "cancelled", "cut"]
Work = Coroutine[Any, Any, CallToolResult]

# A tool that may ask the user midway does so before its first byte; a job can ask nobody, so it is let go only then.
_ASKING_SECONDS = 5.0
_FOLLOW_SECONDS = 0.5


class Job:
    """The work of one long call.

    Args:
        tool: Name of the tool.
        subject: What it works on: the model.
        owner: Whose it is.
        progress: Where the work reports.
        consent: The call's; nobody can be asked any more once the job is on its own.

    Attributes:
        resumes: Whether the same call goes on where this work was stopped.
    """

    def __init__(self, tool: str, subject: str, owner: str | None, progress: Progress, consent: Consent) -> None:
        self.id = ""
        self.tool, self.subject, self.owner = tool, subject, owner
        self.progress = progress
        self.consent = consent
        self.resumes = False
        self.state: State = "running"
        self.result: CallToolResult | None = None
        self.task: asyncio.Task[CallToolResult] | None = None
        self.ended: float | None = None
        self._began = time.monotonic()
        self._text = self._said = ""

    @property
    def seconds(self) -> float:
        """How long it has worked."""
        return (self.ended or time.monotonic()) - self._began

    @property
    def text(self) -> str:
        """What the model has written so far."""
        return self.progress.text() if self.ended is None else self._text

    @property
    def said(self) -> str:
        """How far it is, in under 200 characters."""
        return newest(self.progress.described()) if self.ended is None else self._said

    @property
    def weight(self) -> int:
        """About how many bytes are kept for it."""
        if self.result is None:
            return len(self._text)
        texts = [block.text for block in self.result.content if isinstance(block, TextContent)]
        return _weight(texts) + _weight(self.result.structured_content)

    def end(self, state: State, result: CallToolResult | None) -> None:
        """Keep what there is, and let go of the work."""
        self._text, self._said = ("" if result else self.text), self.said
        self.state, self.result, self.ended = state, result, time.monotonic()
        self.task = None
        self.progress = Progress(None)


class Jobs:
    """The jobs of one server process.

    Args:
        limit: Jobs that run at once; as many ended ones are kept.
        keep_seconds: How long the result of a job is kept.
        keep_cut_seconds: How long the text of a cancelled call or job is kept.
        keep_bytes: About how much all kept results may take.
    """

    def __init__(self, limit: int, keep_seconds: float, keep_cut_seconds: float, keep_bytes: int) -> None:
        self._limit, self._bytes = limit, keep_bytes
        self._seconds = {"cut": keep_cut_seconds, "cancelled": keep_cut_seconds}
        self._default_seconds = keep_seconds
        self._jobs: dict[str, Job] = {}
        self._working: set[asyncio.Task[CallToolResult]] = set()

    async def carry(
        self, job: Job, work: Work, caller: Caller, *, background: bool, asks_midway: bool
    ) -> CallToolResult | None:
        """Run the work of a call as long as its client waits.

        Args:
            job: What is known of the work.
            work: The work.
            caller: Whose patience counts.
            background: Whether it shall be a job at once.
            asks_midway: Whether the work may ask the user after it has begun.

        Returns:
            Its result, or None where it goes on as a job.

        Raises:
            Busy: `background`, but too many jobs are running.
            CancelledError: The client gave the call up; the work is cancelled.
        """
        if background and not self._has_room():
            work.close()
            raise Busy(
                f"{self._limit} jobs are running, which is the most (setting jobs.limit).",
                next_step="ollama_job(action='list') names them; wait for one or cancel it.",
            )
        task = job.task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        try:
            if background:
                await _first(task, job.progress.moved if asks_midway else job.progress.begun, _ASKING_SECONDS)
            else:
                await asyncio.wait({task}, timeout=caller.patience)
            if not task.done() and not self._has_room():
                await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            task.add_done_callback(partial(self._ended, job, "cut"))
            raise
        if task.done():
            return task.result()
        job.id = secrets.token_urlsafe(12)
        job.consent.detached = True
        job.progress.detach()
        self._jobs[job.id] = job
        task.add_done_callback(partial(self._ended, job, "cancelled"))
        return None

    def find(self, name: str, caller: Caller) -> Job:
        """The job of that id.

        Raises:
            InvalidArgument: There is none that this client may see.
        """
        job = self._jobs.get(name)
        if job is None or job.owner not in (None, caller.owner):
            raise InvalidArgument(
                f"There is no job {name[:80]!r}, or its result is no longer kept.",
                next_step="ollama_job(action='list') names the jobs that there are.",
            )
        return job

    def of(self, caller: Caller) -> list[Job]:
        """The jobs of a client, newest first."""
        if caller.owner is None:
            return []
        return [job for job in reversed(self._jobs.values()) if job.owner == caller.owner]

    async def follow(self, job: Job, caller: Caller, progress: Progress) -> None:
        """Wait for the end of a job, as long as the client waits, and report its progress as this call's."""
        end = None if caller.patience is None else time.monotonic() + caller.patience
        async with progress.phase(job.said if job.task else ""):
            while (task := job.task) is not None and (end is None or time.monotonic() < end):
                left = _FOLLOW_SECONDS if end is None else min(_FOLLOW_SECONDS, end - time.monotonic())
                await asyncio.wait({task}, timeout=max(0.0, left))
                await progress.update(job.progress.done, lambda: job.said, job.progress.total)

    async def cancel(self, job: Job) -> None:
        """Stop the work of a job and wait until it has let go of the host."""
        if (task := job.task) is not None:
            task.cancel()
            await asyncio.wait({task})

    async def aclose(self) -> None:
        """Cancel all work."""
        for job in self._jobs.values():
            if job.task is not None:
                log.warning("%s of %s ends with the server at: %s", job.tool, job.subject, job.said)
        working = list(self._working)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        self._jobs.clear()

    def _has_room(self) -> bool:
        return sum(job.task is not None for job in self._jobs.values()) < self._limit

    def _ended(self, job: Job, unfinished: State, task: asyncio.Task[CallToolResult]) -> None:
        """Keep the end of work that no call waits for; of a cut call only text is worth it."""
        result = None if task.cancelled() or task.exception() else task.result()
        job.end(unfinished if result is None else "failed" if result.is_error else "done", result)
        if not job.id:
            if not job.text:
                return
            job.id = secrets.token_urlsafe(12)
            self._jobs[job.id] = job
        seconds = self._seconds.get(job.state, self._default_seconds)
        asyncio.get_running_loop().call_later(seconds, self._jobs.pop, job.id, None)
        self._make_room()

    def _make_room(self) -> None:
        """Drop the oldest ended jobs where there are too many or too large ones; the newest always stays."""
        ended = sorted((job for job in self._jobs.values() if job.task is None), key=lambda job: job.ended or 0.0)
        size = sum(job.weight for job in ended)
        for job in ended[:-1]:
            if len(ended) <= self._limit and size <= self._bytes:
                break
            ended, size = ended[1:], size - job.weight
            del self._jobs[job.id]


async def _first(task: asyncio.Task[Any], event: asyncio.Event, seconds: float) -> None:
    """Wait for the first of a task's end, an event and a time."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _weight(value: object) -> int:
    """About the bytes of a JSON value; a list of numbers is not walked."""
    match value:
        case str():
            return len(value)
        case dict():
            return sum(_weight(item) for item in cast("dict[str, object]", value).values())
        case list():
            items = cast("list[object]", value)
            return 8 * len(items) if items and isinstance(items[0], float) else sum(map(_weight, items))
        case _:
            return 8
