"""Jobs that outlive their process: written to the store while they run, read and continued by later processes."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from mcp.types import CallToolResult

from ollama_mcp.errors import DiskError
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL
from ollama_mcp.server.confirmation import Consent, PendingConfirmations
from ollama_mcp.server.job import Job, JobState
from ollama_mcp.server.job_rows import (
    describe_end,
    is_of_caller,
    may_repeat,
    owner_of,
    plain,
    principal_of,
    progress_of,
    show,
    update_of,
)
from ollama_mcp.server.job_watch import rights_of, tell_of, watch
from ollama_mcp.server.jobs import JobManager
from ollama_mcp.server.leases import Leases
from ollama_mcp.server.settings_digest import settings_digest
from ollama_mcp.store.jobs import CANCEL_CHANNEL, RUNNING, KeepLimits, StoredJob
from ollama_mcp.work.progress import Progress

if TYPE_CHECKING:
    from ollama_mcp.server.auth.authenticator import Authenticator
    from ollama_mcp.settings import Settings
    from ollama_mcp.store.jobs import JobOwner, Jobs

log = logging.getLogger(__name__)

# What is written of running jobs is at most a second old.
FLUSH_SECONDS = 0.8
_WATCH_SECONDS = 2.0
_RETRY_SECONDS = 5.0
_AWAY_SECONDS = 1.0
# A client waits for the answer that names the job.
_ADD_SECONDS = 2.0
_CANCEL_SECONDS = 10.0
_CLOSE_SECONDS = 2.0
_POLL_SECONDS = 0.1
_MOST_REQUEST_BYTES = 4_000_000

GoOn = Callable[[StoredJob, str | None], Job | None]


class DurableJobs:
    """Where the jobs of a server are kept; see `JobStorage`.

    Args:
        jobs: The jobs in the store.
        manager: The jobs of this process.
        settings: The settings of this start.
        roots: Returns the client's roots, from which relative paths start.
        go_on: Runs a stored job again for an owner and returns it; None where the tool is not offered.
    """

    def __init__(
        self, jobs: Jobs, manager: JobManager, settings: Settings, roots: Callable[[], tuple[str, ...]], go_on: GoOn
    ) -> None:
        self._jobs, self._manager, self._settings, self._roots, self._go_on = jobs, manager, settings, roots, go_on
        keep = settings.jobs
        self._limits = KeepLimits(keep.keep_seconds, keep.keep_cut_seconds, keep.limit, keep.keep_bytes)
        self._digest = settings_digest(settings)
        # What runs here, and what was written of it last.
        self._running: dict[str, tuple[Job, StoredJob]] = {}
        self._writes: dict[str, asyncio.Task[None]] = {}
        self._keeping: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._resuming: set[asyncio.Task[None]] = set()
        self._leases = Leases()
        self._warned = False

    async def add(self, job: Job) -> None:
        """Keep a job; see `JobStorage`."""
        stored = StoredJob(
            job.id, job.tool, plain(job.model), principal_of(job.owner), self._request(job), self._digest, job.goes_on
        )
        job.unkept = "the store is busy"
        await asyncio.wait({self._write(job, partial(self._add, job, stored))}, timeout=_ADD_SECONDS)

    async def _add(self, job: Job, stored: StoredJob) -> None:
        stored.progress, stored.text = progress_of(job), plain(job.partial_text)
        try:
            await self._jobs.add(stored)
        except DiskError as error:
            await self._tell(job, error)
        else:
            job.unkept = ""
            if job.ended_at is None:
                self._keep_up(job, stored)
            else:
                self._running[job.id] = (job, stored)

    async def conclude(self, job: Job, result: CallToolResult) -> bool:
        """Write the result of a job; see `JobStorage`."""
        await self.written(job)
        if (pair := self._running.get(job.id)) is None:
            return True
        stored = pair[1]
        describe_end(stored, job, "failed" if result.is_error else "done", result)
        try:
            kept = await self._jobs.patient(partial(self._tell, job)).end(stored, self._limits)
        except BaseException as error:
            # Written again when the work has ended.
            stored.state = RUNNING
            if not isinstance(error, DiskError):
                raise
            self._warn(error)
            return True
        if not kept:
            del self._running[job.id]
        return kept

    def end(self, job: Job) -> None:
        """Begin to write how a job ended; see `JobStorage`."""
        self._write(job, partial(self._end, job))

    async def _end(self, job: Job) -> None:
        try:
            # Others wait for the result, whatever a database that they share says now.
            await self._write_end(job, self._jobs.patient(partial(self._tell, job), DiskError))
        except DiskError as error:
            await self._tell(job, error)
        else:
            job.unkept = ""
        self._running.pop(job.id, None)

    async def _tell(self, job: Job, error: DiskError) -> None:
        self._warn(error)
        job.unkept = error.message

    async def _write_end(self, job: Job, jobs: Jobs) -> None:
        _, stored = self._running.get(job.id, (job, None))
        if stored is None:
            # It never ran as a job, or could not be kept until now.
            stored = StoredJob(job.id, job.tool, "", principal_of(job.owner), None, self._digest, False)
            describe_end(stored, job, job.state, job.result)
            await jobs.add(stored, self._limits)
        elif stored.state != RUNNING:
            return
        elif job.is_orphan and stored.resumes:
            stored.progress, stored.text = progress_of(job), plain(job.partial_text)
            await jobs.release([stored])
        else:
            describe_end(stored, job, job.state, job.result)
            if not await jobs.end(stored, self._limits):
                log.warning("Job %s was taken over by another process; what this one did is not kept.", job.id)
                self._manager.lose(job)

    async def written(self, job: Job) -> None:
        """Wait for what was begun; see `JobStorage`."""
        if (write := self._writes.get(job.id)) is not None:
            await asyncio.wait({write}, timeout=_ADD_SECONDS)

    async def find(self, job_id: str, owner: str | None) -> Job | None:
        """A job of another process; see `JobStorage`."""
        try:
            stored = await self._jobs.find(plain(job_id)) if await self._jobs.exist() else None
            if stored is None or stored.principal not in ("", principal_of(owner)):
                return None
            return await self._settled(stored, await self._jobs.owners())
        except DiskError as error:
            self._away(error)
            return None

    async def listed(self, owner: str | None) -> list[Job]:
        """The jobs of an owner; see `JobStorage`."""
        if not await self._jobs.exist():
            return []
        try:
            owners, found = await self._jobs.owners(), await self._jobs.listed(principal_of(owner))
            return [await self._listed(stored, owners) for stored in found]
        except DiskError as error:
            self._away(error)
            return []

    async def _listed(self, stored: StoredJob, owners: dict[str, JobOwner]) -> Job:
        gone = stored.state == RUNNING and self._leases.is_over(stored.owner, owners)
        # Read whole only where it is to go on.
        whole = await self._jobs.find(stored.id) if gone else None
        return self._seen(stored, gone) if whole is None else await self._settled(whole, owners)

    async def refresh(self, job: Job) -> Job:
        """Bring a job that is elsewhere up to date; see `JobStorage`."""
        with suppress(DiskError):
            stored = await self._jobs.find(job.id)
            if stored is not None:
                return await self._settled(stored, await self._jobs.owners())
            job.show("cut", text=job.partial_text, status="no longer kept", seconds=job.seconds, about=job.about)
        return job

    async def cancel(self, job: Job) -> None:
        """Have a job stopped; see `JobStorage`."""
        await self._jobs.ask_to_cancel(job.id)
        deadline = time.monotonic() + _CANCEL_SECONDS
        while (stored := await self._jobs.find(job.id)) is not None:
            if stored.state == RUNNING and self._leases.is_over(stored.owner, await self._jobs.owners()):
                await self._end_left(stored, "cancelled")
            elif stored.state != RUNNING or time.monotonic() > deadline:
                show(job, stored)
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def go_on_with(self, job: Job) -> Job | None:
        """Run a job again whose process has ended; see `JobStorage`."""
        stored = await self._jobs.find(job.id)
        if (
            stored is None
            or stored.request is None
            or not self._leases.is_over(stored.owner, await self._jobs.owners())
        ):
            return None
        return await self._taken(stored)

    def resume(self) -> None:
        """Begin to go on with what earlier processes left; see `JobStorage`."""
        task = asyncio.create_task(self._resume())
        self._resuming.add(task)
        task.add_done_callback(self._resuming.discard)

    async def watch(self, auth: Authenticator | None) -> None:
        """Go on with what other processes leave; see `JobStorage`."""
        await watch(self._jobs, self._leases, auth, self._manager.has_room, self._settle)

    async def aclose(self) -> None:
        """Write all that is left to write; see `JobStorage`."""
        for task in (*self._resuming, self._keeping, self._listening):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        if self._writes:
            # A store that is locked must not hold up the end of the process.
            _, late = await asyncio.wait(self._writes.values(), timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()

    # What this process runs.

    def _write(self, job: Job, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Write in a task of its own, after what is being written of the same job."""
        before = self._writes.get(job.id)

        async def write() -> None:
            if before is not None:
                await asyncio.wait({before})
            await work()

        task = self._writes[job.id] = asyncio.create_task(write())
        task.add_done_callback(lambda done: self._writes.get(job.id) is done and self._writes.pop(job.id))
        return task

    def _keep_up(self, job: Job, stored: StoredJob) -> None:
        self._running[job.id] = (job, stored)
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._flush())
        store = self._settings.store
        if self._listening is None and store.url:
            from ollama_mcp.store.listening import listen

            self._listening = asyncio.create_task(listen(store.listen_url or store.url, CANCEL_CHANNEL, self._cancel))

    async def _flush(self) -> None:
        """Write how far the jobs are, for as long as there are any, and learn what others did to them."""
        while self._running:
            await asyncio.sleep(FLUSH_SECONDS)
            pairs = [pair for pair in self._running.values() if pair[1].state == RUNNING and pair[0].ended_at is None]
            updates = [update_of(*pair) for pair in pairs]
            try:
                news = await self._jobs.update(updates)
            except DiskError as error:
                self._warn(error)
                await asyncio.sleep(_AWAY_SECONDS if self._settings.store.url else _RETRY_SECONDS)
                continue
            for update in updates:
                if update.text is not None and (pair := self._running.get(update.id)):
                    pair[1].text = update.text
            for job_id in news.lost:
                if pair := self._running.pop(job_id, None):
                    log.warning("Job %s was taken over by another process, since this one did not answer.", job_id)
                    self._manager.lose(pair[0])
            for job_id in news.cancelled:
                self._cancel(job_id)

    def _cancel(self, job_id: str) -> None:
        """Stop the work of a job if it runs here."""
        if (pair := self._running.get(job_id)) is not None and (task := pair[0].task) is not None:
            task.cancel()

    def _request(self, job: Job) -> dict[str, Any] | None:
        """What is needed to run it again; None where that must not be."""
        arguments = job.arguments
        job.goes_on = job.goes_on and arguments is not None and (job.resumes or may_repeat(arguments))
        if not job.goes_on:
            return None
        request = {"arguments": arguments, "roots": list(self._roots()), "by": rights_of(CURRENT_PRINCIPAL.get())}
        job.goes_on = len(json.dumps(request)) <= _MOST_REQUEST_BYTES
        return request if job.goes_on else None

    # What others ran.

    async def _resume(self) -> None:
        """Take over what others left; watch those that are at work until they have ended or their lease is over."""
        if not await self._jobs.exist():
            return
        with suppress(DiskError):
            await self._jobs.tidy(self._limits)
            while True:
                owners = await self._jobs.owners()
                waiting = [
                    job for job in await self._jobs.running() if job.cancel or not job.resumes or self._may_go_on(job)
                ]
                for stored in waiting:
                    await self._settled(stored, owners)
                mine = [job for job in waiting if is_of_caller(job.principal)]
                if all(self._leases.is_over(job.owner, owners) for job in mine):
                    return
                await asyncio.sleep(_WATCH_SECONDS)

    async def _settled(self, stored: StoredJob, owners: dict[str, JobOwner]) -> Job:
        """A job whose process has ended goes on here if it may, or ends."""
        if stored.state != RUNNING or not self._leases.is_over(stored.owner, owners):
            return self._seen(stored, gone=False)
        return await self._settle(stored) or self._seen(await self._jobs.find(stored.id) or stored, gone=True)

    async def _settle(self, stored: StoredJob) -> Job | None:
        """Go on with a job whose process has ended, or end it; None where it is to wait, or another was quicker."""
        if not stored.cancel and stored.resumes:
            job = await self._taken(stored) if self._may_go_on(stored) else None
        else:
            ended = await self._end_left(stored, "cancelled" if stored.cancel else "cut")
            job = self._seen(stored, gone=True) if ended else None
        return tell_of(stored, job)

    async def _end_left(self, stored: StoredJob, state: JobState) -> bool:
        """End a job whose process has ended, and what others do for it; False where another process was quicker."""
        if not await self._jobs.take(stored):
            return False
        if run := stored.progress.get("run"):
            from ollama_mcp.fleet.tables import cancel

            await self._jobs.run(partial(cancel, run=run))
        stored.state, stored.progress = state, {**stored.progress, "orphan": True}
        return await self._jobs.end(stored, self._limits)

    async def _taken(self, stored: StoredJob) -> Job | None:
        """Go on with a job; None where another process was quicker, or its tool is not offered."""
        if not await self._jobs.take(stored):
            return None
        if (job := self._go_on(stored, owner_of(stored.principal))) is None:
            await self._jobs.release([stored])
            return None
        self._keep_up(job, stored)
        return job

    def _may_go_on(self, stored: StoredJob) -> bool:
        same = stored.settings == self._digest
        may = self._settings.jobs.resume == "auto" and stored.resumes and stored.request is not None and same
        return may and is_of_caller(stored.principal)

    def _seen(self, stored: StoredJob, gone: bool) -> Job:
        """A job as a client sees it that did not begin it here."""
        consent = Consent(stored.tool, "", self._settings.policy, PendingConfirmations(), lambda: False, detached=True)
        job = Job(stored.tool, stored.model, owner_of(stored.principal), Progress(None), consent)
        job.id, job.goes_on = stored.id, stored.resumes and stored.state == RUNNING
        show(job, stored)
        if stored.state == RUNNING and gone:
            # Nobody works on it now; it is in the store as running, for the server that may go on with it.
            job.is_orphan = True
            job.show("cut", text=stored.text, status=job.status_text, seconds=job.seconds, about=job.about)
        return job

    def _away(self, error: DiskError) -> None:
        """Take note that the store cannot be used.

        Raises:
            DiskError: It is a database that others use too: what is not seen now may be there.
        """
        self._leases.begin_anew()
        if self._settings.store.url:
            raise error
        self._warn(error)

    def _warn(self, error: DiskError) -> None:
        if not self._warned:
            self._warned = True
            log.warning("%s Until then, jobs end with this process.", error)
