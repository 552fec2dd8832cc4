"""Long calls: their work runs in a task of its own, continues as a job when the client's time is up, and is kept.

A call that its client cancels is cancelled at the host too; the text that had arrived is kept as a job that was cut.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Coroutine
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from mcp.types import CallToolResult

from ollama_mcp.errors import Busy, InvalidArgument
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL
from ollama_mcp.hosts.recent import RecentDict
from ollama_mcp.server.caller import Caller
from ollama_mcp.server.job import Job, JobState
from ollama_mcp.server.job_ids import new_job_id
from ollama_mcp.store.surplus import surplus
from ollama_mcp.work.progress import Progress

if TYPE_CHECKING:
    from ollama_mcp.server.auth.authenticator import Authenticator
    from ollama_mcp.server.job_storage import JobStorage

log = logging.getLogger(__name__)

Work = Coroutine[Any, Any, CallToolResult]

# How long a background call waits until its work is past the point where it may ask the user: a job can ask nobody.
_ASKING_SECONDS = 5.0
_FOLLOW_INTERVAL_SECONDS = 0.5
_MOST_READ = 8
_MOST_OWNERS = 10_000
# The client's first requests come first, and what is loaded in the background after them.
RESUME_DELAY_SECONDS = 1.5


class JobManager:
    """The jobs of one server process, and those of others that use the same store.

    Args:
        limit: Most jobs that run at once, and most ended ones that are kept.
        keep_seconds: How long the result of a job is kept.
        keep_cut_seconds: How long the text of a cancelled call or job is kept.
        keep_bytes: Roughly how many bytes all kept results may take.
        make_storage: Returns where jobs are kept, asked with the first job; None where nothing outlives the process.

    Attributes:
        authenticator: Knows whose rights the jobs of others may have; None where clients need no token.
    """

    def __init__(
        self,
        limit: int,
        keep_seconds: float,
        keep_cut_seconds: float,
        keep_bytes: int,
        make_storage: Callable[[], JobStorage[Job] | None] = lambda: None,
    ) -> None:
        self._limit, self._keep_bytes = limit, keep_bytes
        self._keep_seconds = {"cut": keep_cut_seconds, "cancelled": keep_cut_seconds}
        self._default_keep_seconds = keep_seconds
        self._make_storage = make_storage
        self.authenticator: Authenticator | None = None
        self._is_closing = False
        # By the name of whoever asked: their jobs go on, in their name.
        self._resume_timers: RecentDict[str, asyncio.TimerHandle] = RecentDict(_MOST_OWNERS)
        self._jobs: dict[str, Job] = {}
        # Ended jobs of other processes that were asked for.
        self._read: dict[str, Job] = {}
        # asyncio holds tasks only weakly.
        self._tasks: set[asyncio.Task[CallToolResult]] = set()

    @cached_property
    def _storage(self) -> JobStorage[Job] | None:
        return self._make_storage()

    def schedule_resume(self) -> None:
        """Go on, a while after somebody's first requests, with what earlier processes left of their jobs."""
        principal = CURRENT_PRINCIPAL.get()
        name = "" if principal is None else principal.name
        if name not in self._resume_timers:
            # In the context of the request, which says whose rights the jobs have.
            self._resume_timers[name] = asyncio.get_running_loop().call_later(RESUME_DELAY_SECONDS, self._resume)

    def _resume(self) -> None:
        if self._storage is not None and not self._is_closing:
            self._storage.resume()

    async def watch(self) -> None:
        """Go on with the jobs of processes that end, though nobody asks, until cancelled."""
        if self._storage is not None:
            await self._storage.watch(self.authenticator)

    async def run(
        self, job: Job, work: Work, caller: Caller, *, background: bool, asks_midway: bool
    ) -> CallToolResult | None:
        """Run the work of a call for as long as its client waits.

        Args:
            job: The description of the work, not yet a job.
            work: The work.
            caller: The client, whose time limit counts.
            background: Whether the work becomes a job at once.
            asks_midway: Whether the work may ask the user after it has started.

        Returns:
            The result, or None where the work continues as a job.

        Raises:
            Busy: `background` is set, and too many jobs are running.
            CancelledError: The client cancelled the call; the work is cancelled too.
        """
        if background and not self.has_room():
            work.close()
            raise Busy(
                f"{self._limit} jobs are running, which is the limit (setting jobs.limit).",
                next_step="ollama_job(action='list') lists them; wait for one or cancel it.",
            )
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = job.task = asyncio.create_task(_wake_at_end(work, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            if background:
                from ollama_mcp.work.threads import wait_for_first

                await wait_for_first(task, job.progress.moved if asks_midway else job.progress.begun, _ASKING_SECONDS)
            else:
                await _wait_until(ended, task, caller.patience)
            # Without room for another job the call keeps waiting: losing the work would be worse than a late answer.
            if not task.done() and not self.has_room():
                await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            task.add_done_callback(partial(self._on_end, job, "cut"))
            raise
        if task.done():
            return task.result()
        job.id = job.progress.job = new_job_id(job.tool, job.arguments)
        job.consent.detach()
        job.progress.detach()
        self._jobs[job.id] = job
        task.add_done_callback(partial(self._on_end, job, "cancelled"))
        if self._storage is not None:
            try:
                await self._storage.add(job)
            except asyncio.CancelledError:
                task.cancel()
                raise
        return None

    def go_on(self, job: Job, work: Work) -> None:
        """Run the work of a job that another process left; it is in the store already."""
        task = job.task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._jobs[job.id] = job
        task.add_done_callback(partial(self._on_end, job, "cancelled"))

    def lose(self, job: Job) -> None:
        """Stop and forget a job that another process has taken over: the store has it."""
        job.is_lost = True
        self._jobs.pop(job.id, None)
        if job.task is not None:
            job.task.cancel()

    async def get(self, job_id: str, caller: Caller) -> Job:
        """The job of that id, whichever process began it.

        Raises:
            InvalidArgument: No job of that id is kept that this client may see.
        """
        job = self._jobs.get(job_id) or self._read.get(job_id)
        if job is None and self._storage is not None:
            found = await self._storage.find(job_id, caller.owner)
            job = self._jobs.get(job_id) or found  # which may have begun to go on here meanwhile
            if job is not None:
                self._remember(job)
        if job is None or job.owner not in (None, caller.owner):
            raise InvalidArgument(
                f"There is no job {job_id[:80]!r}, or its result is no longer kept.",
                next_step="ollama_job(action='list') lists the jobs.",
            )
        return job

    async def conclude(self, job: Job, result: CallToolResult) -> None:
        """Keep the result of work that ends, before what it was made from is removed.

        Raises:
            CancelledError: Another process has taken the job over: it needs what this one would remove.
        """
        if job.id and self._storage is not None and not await self._storage.conclude(job, result):
            self.lose(job)
            raise asyncio.CancelledError

    async def go_on_with(self, job: Job) -> Job:
        """Run a job again whose process has ended, as the user asks for; any other stays as it is."""
        if job.task is not None or not job.goes_on or self._storage is None:
            return job
        return await self._storage.go_on_with(job) or job

    def kept_id(self, result: CallToolResult) -> str:
        """The id of the job whose result this very object is, or ""."""
        return next((job.id for job in (*self._jobs.values(), *self._read.values()) if job.result is result), "")

    def keep(self, job: Job, result: CallToolResult) -> str:
        """Keep the whole result of a call that gets a part of it, as an ended job, and return the job's id."""
        job.finish("failed" if result.is_error else "done", result)
        self._add_ended(job)
        return job.id

    async def written(self, job: Job) -> None:
        """Wait until a job is in the store, before the answer leaves that names it."""
        if self._storage is not None:
            await self._storage.written(job)

    async def list_for(self, caller: Caller) -> list[Job]:
        """The jobs of a client, newest first; empty for a client that cannot be told from others."""
        if caller.owner is None:
            return []
        kept = await self._storage.listed(caller.owner) if self._storage is not None else []
        mine = [job for job in reversed(self._jobs.values()) if job.owner == caller.owner]
        return mine + [job for job in kept if job.id not in self._jobs]

    async def follow(self, job: Job, caller: Caller, progress: Progress) -> Job:
        """Wait for a job as long as the client does, with its progress; returns it, which may be here only by now."""
        deadline = None if caller.patience is None else time.monotonic() + caller.patience
        async with progress.phase(job.status_text if job.state == "running" else ""):
            while (job.task or job.is_elsewhere) and (deadline is None or time.monotonic() < deadline):
                left = _FOLLOW_INTERVAL_SECONDS
                if deadline is not None:
                    left = min(left, deadline - time.monotonic())
                if (task := job.task) is not None:
                    await asyncio.wait({task}, timeout=max(0.0, left))
                elif self._storage is not None:
                    await asyncio.sleep(max(0.0, left))
                    job = await self._storage.refresh(job)
                await progress.update(job.progress.done, lambda shown=job: shown.status_text, job.progress.total)
        self._remember(job)
        return job

    async def cancel(self, job: Job) -> None:
        """Stop the work of a job and wait until its request to the host is closed."""
        if (task := job.task) is not None:
            task.cancel()
            await asyncio.wait({task})
        elif self._storage is not None and (job.state == "running" or (job.is_orphan and job.goes_on)):
            await self._storage.cancel(job)

    async def aclose(self) -> None:
        """Cancel all work and wait for its end; what is in the store can be read, or goes on, with the next start."""
        self._is_closing = True
        for timer in self._resume_timers.values():
            timer.cancel()
        for job in self._jobs.values():
            if job.task is not None:
                log.warning("%s of %s is cancelled, since the server stops: %s", job.tool, job.model, job.status_text)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Not made for this: without a job there is nothing to write.
        if "_storage" in self.__dict__ and self._storage is not None:
            await self._storage.aclose()
        self._jobs.clear()

    def _remember(self, job: Job) -> None:
        """Keep an ended job of another process for a while: what is cut of its result is named by its id."""
        if job.id not in self._jobs and job.ended_at is not None and not job.goes_on:
            self._read[job.id] = job
            while len(self._read) > _MOST_READ:
                del self._read[next(iter(self._read))]

    def has_room(self) -> bool:
        """Whether another job may run: one of each token may, however many others have."""
        running = [job.owner for job in self._jobs.values() if job.task is not None]
        principal = CURRENT_PRINCIPAL.get()
        return len(running) < self._limit or (principal is not None and f"token {principal.name}" not in running)

    def _on_end(self, job: Job, unfinished: JobState, task: asyncio.Task[CallToolResult]) -> None:
        """Keep the outcome of work that no call waits for. A cut call is kept only if it has text."""
        result = None if task.cancelled() or task.exception() else task.result()
        if job.is_lost:
            job.show("running", text=job.partial_text, status=job.status_text, seconds=job.seconds, about=job.about)
            job.task = None
            return
        if self._is_closing and result is None:
            unfinished, job.is_orphan = "cut", True
        job.finish(unfinished if result is None else "failed" if result.is_error else "done", result)
        if job.id or job.partial_text:
            self._add_ended(job)

    def _add_ended(self, job: Job) -> None:
        """Keep an ended job for its time, within the limits of number and size."""
        job.id = job.id or new_job_id(job.tool, job.arguments)
        self._jobs[job.id] = job
        if self._storage is not None:
            self._storage.end(job)
        seconds = self._keep_seconds.get(job.state, self._default_keep_seconds)
        # Its context is the call's, which is not kept for as long as the job.
        job.expiry = asyncio.get_running_loop().call_later(
            seconds, self._jobs.pop, job.id, None, context=contextvars.Context()
        )
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Drop ended jobs while these are too many or too large: the oldest of whoever has most of them."""
        ended = [job for job in reversed(self._jobs.values()) if job.task is None]
        ended.sort(key=lambda job: job.ended_at or 0.0, reverse=True)
        for place in surplus([(job.owner, job.kept_bytes) for job in ended], self._limit, self._keep_bytes):
            job = ended[place]
            del self._jobs[job.id]
            if job.expiry is not None:
                job.expiry.cancel()


async def _wake_at_end(work: Work, ended: asyncio.Future[None]) -> CallToolResult:
    """Do the work, and wake who waits for its end in the loop's next turn; that of a task comes two turns later."""
    try:
        return await work
    finally:
        _wake(ended)


async def _wait_until(ended: asyncio.Future[None], task: asyncio.Task[CallToolResult], seconds: float | None) -> None:
    """Wait until the work has ended, or for so many seconds."""
    # A task that is cancelled before its first step does nothing that could wake.
    task.add_done_callback(lambda _: _wake(ended))
    timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, _wake, ended)
    try:
        await ended
    finally:
        if timer is not None:
            timer.cancel()


def _wake(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
