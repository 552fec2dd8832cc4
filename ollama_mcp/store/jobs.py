"""Jobs: what goes on after its call has been answered, kept so that it can be read, and go on, after its process.

A running job has one owner, a process, and a number, the fence, which grows with each owner. Whatever a process writes
of a job holds only while both are its own: one that was stopped and wakes again finds that it has lost the job.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ollama_mcp import clock
from ollama_mcp.store.patient import DatabaseAway, patient
from ollama_mcp.store.processes import ProcessIdentity, has_ended, this_process
from ollama_mcp.store.surplus import surplus
from ollama_mcp.store.writes import release_space, transaction

if TYPE_CHECKING:
    from ollama_mcp.errors import DiskError
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.patient import OnWait
    from ollama_mcp.store.sql import Connection

T = TypeVar("T")

RUNNING = "running"
# How long a job is kept that waits for a server which never starts.
WAITING_DAYS = 30
_SECONDS_PER_DAY = 86_400
_MOST_LISTED = 1_000
# Held by what gives a job an owner, forgets owners without jobs, or counts the ended ones.
LOCK = "jobs"
# Gets the id of each job that is to be cancelled, in PostgreSQL.
CANCEL_CHANNEL = "ollama_mcp_cancel"

_COLUMNS = "id, tool, model, principal, request, settings, resumes, state, owner, fence, progress, text, result, tokens"
_WHOLE = f"{_COLUMNS}, cancel"
_LIGHT = _WHOLE.replace("request", "NULL").replace("result", "NULL")
_OWNER = "INSERT INTO job_owners VALUES (?, ?, ?, ?, 0) ON CONFLICT (id) DO NOTHING"
_ADD = f"INSERT INTO jobs ({_COLUMNS}, touched) VALUES ({', '.join('?' * 15)}) ON CONFLICT (id) DO NOTHING"
_MINE = f"id = ? AND owner = ? AND fence = ? AND state = '{RUNNING}'"
_UPDATE = f"UPDATE jobs SET model = ?, progress = ?, text = coalesce(?, text), touched = ? WHERE {_MINE}"
_RELEASE = f"UPDATE jobs SET owner = '', progress = ?, text = ? WHERE {_MINE}"
_TAKE = f"UPDATE jobs SET owner = ?, fence = fence + 1 WHERE {_MINE}"
_END = f"""UPDATE jobs SET state = ?, model = ?, progress = ?, text = ?, result = ?, tokens = ?, touched = ?,
    request = NULL, owner = '', ended = (SELECT coalesce(max(ended), 0) + 1 FROM jobs) WHERE {_MINE}"""
_HAS_ENDED = f"SELECT 1 FROM jobs WHERE id = ? AND fence = ? AND state <> '{RUNNING}'"
_AT_WORK = f"""SELECT at_work.owner, machine, pid, born, beats FROM
    (SELECT DISTINCT owner FROM jobs WHERE state = '{RUNNING}' AND owner <> ?) AS at_work
    LEFT JOIN job_owners ON id = at_work.owner"""
_EXPIRED = f"""DELETE FROM jobs WHERE CASE state WHEN '{RUNNING}' THEN owner <> ? AND touched < ?
    WHEN 'cut' THEN touched < ? WHEN 'cancelled' THEN touched < ? ELSE touched < ? END"""
_ENDED = f"""SELECT number, principal, length(text) + coalesce(length(result), 0) FROM jobs
    WHERE state <> '{RUNNING}' ORDER BY ended DESC"""
_FORGET_OWNERS = f"DELETE FROM job_owners WHERE id <> ? AND id NOT IN (SELECT owner FROM jobs WHERE state='{RUNNING}')"


@dataclass(slots=True)
class StoredJob:
    """A job as it is in the store.

    Attributes:
        id: Its id.
        tool: Name of the tool.
        model: The model that it works on, as far as that is known.
        principal: Whose job it is; "" is for whoever knows its id.
        request: What is needed to go on: `arguments`, what was agreed to; None where it cannot go on.
        settings: Digest of the settings that the call was made under.
        resumes: Whether the same call goes on where this one stopped.
        state: "running", or how it ended.
        owner: The process that works on it; "" for none.
        fence: How many processes have worked on it.
        progress: What was last known of it: `status`, `seconds`, `done`, `total`, `agreed`.
        text: What the model had written, as of the last write; "" once there is a result.
        result: The result as JSON; None where there is none, or where it was not read.
        tokens: Tokens that the model wrote, where the result tells.
        cancel: 1 where somebody asked for its end.
    """

    id: str
    tool: str
    model: str
    principal: str
    request: dict[str, Any] | None
    settings: str
    resumes: bool
    state: str = RUNNING
    owner: str = ""
    fence: int = 1
    progress: dict[str, Any] = field(default_factory=dict[str, Any])
    text: str = ""
    result: str | None = None
    tokens: int | None = None
    cancel: int = 0


class JobUpdate(NamedTuple):
    """What is new of a running job; `text` is None where it is what it was."""

    id: str
    fence: int
    model: str
    progress: dict[str, Any]
    text: str | None


class JobNews(NamedTuple):
    """What a process learns of its running jobs: those that another one has taken, and those to be cancelled."""

    lost: frozenset[str]
    cancelled: frozenset[str]


class JobOwner(NamedTuple):
    """The process that owns jobs, and its heartbeats so far."""

    process: ProcessIdentity
    beats: int

    @property
    def has_ended(self) -> bool:
        """Whether the process is known to have ended."""
        return has_ended(self.process)


@dataclass(frozen=True, slots=True)
class KeepLimits:
    """How long and how many ended jobs are kept: seconds of results, of texts without one, their number and bytes."""

    seconds: float
    cut_seconds: float
    count: int
    bytes: int


class Jobs:
    """The jobs of all processes that use this store; every method raises `DiskError` where it cannot be used.

    Attributes:
        me: The owner that this process is.
        persistent: Whether they outlive the process.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.persistent = database.persistent
        self.me = secrets.token_hex(8)

    def patient(self, on_wait: OnWait, waits_for: type[DiskError] = DatabaseAway) -> Jobs:
        """The same jobs of the same process, whose work waits for a database that others share."""
        jobs = copy(self)
        jobs._database = patient(self._database, on_wait, waits_for)
        return jobs

    async def exist(self) -> bool:
        """Whether there may be any: looking into a store that is not there would make one."""
        path = self._database.path
        return bool(self._database.url) or (path is not None and await asyncio.to_thread(path.exists))

    async def add(self, job: StoredJob, keep: KeepLimits | None = None) -> None:
        """Keep a job, running by this process or, within limits, ended."""
        await self._database.run(partial(_add, job=job, me=self.me))
        if keep is not None:
            await self.tidy(keep)

    async def tidy(self, keep: KeepLimits) -> None:
        """Delete the jobs that are beyond the limits."""
        if await self._database.run(partial(_tidy, me=self.me, keep=keep)):
            await release_space(self._database)

    async def update(self, updates: Sequence[JobUpdate]) -> JobNews:
        """Tell that this process lives and how far its running jobs are; returns what others did to them."""
        return await self._database.run(partial(_update, me=self.me, updates=updates))

    async def end(self, job: StoredJob, keep: KeepLimits) -> bool:
        """Keep how a job ended; False if it is this process's no longer. Jobs beyond the limits are deleted."""
        kept, dropped = await self._database.run(partial(_end, me=self.me, job=job, keep=keep))
        if dropped:
            await release_space(self._database)
        return kept

    async def release(self, jobs: Sequence[StoredJob]) -> None:
        """Give up running jobs, so that another process may go on with them at once."""
        await self._database.run(partial(_release, me=self.me, jobs=jobs))

    async def take(self, job: StoredJob) -> bool:
        """Make a job this process's own, unless another was quicker; its owner and fence are then the new ones."""
        if not await self._database.run(partial(_take, me=self.me, job=job)):
            return False
        job.owner, job.fence = self.me, job.fence + 1
        return True

    async def find(self, job_id: str) -> StoredJob | None:
        """The job of that id, with its result."""
        found = await self._database.run(partial(_select, columns=_WHOLE, where="id = ?", values=(job_id,)))
        return found[0] if found else None

    async def listed(self, principal: str) -> list[StoredJob]:
        """The jobs of a principal, newest first, without their requests and results."""
        return await self._database.run(partial(_select, columns=_LIGHT, where="principal = ?", values=(principal,)))

    async def running(self) -> list[StoredJob]:
        """The running jobs of other processes, and of none."""
        where = f"state = '{RUNNING}' AND owner <> ?"
        return await self._database.run(partial(_select, columns=_WHOLE, where=where, values=(self.me,)))

    async def owners(self) -> dict[str, JobOwner]:
        """The processes that own jobs."""
        return await self._database.run(_owners)

    async def owners_at_work(self) -> dict[str, JobOwner | None]:
        """The other processes that own running jobs; None for "", which stands for none, and for one not known."""
        return await self._database.run(partial(_owners_at_work, me=self.me))

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, of what else depends on a job, in one transaction."""
        return await self._database.run(work)

    async def ask_to_cancel(self, job_id: str) -> None:
        """Ask whoever works on a job to stop; whoever listens learns it at once."""
        await self._database.run(partial(_ask_to_cancel, job_id=job_id, tell=bool(self._database.url)))


def _add(connection: Connection, *, job: StoredJob, me: str) -> None:
    with transaction(connection):
        connection.lock(LOCK)
        is_running = job.state == RUNNING
        if is_running:
            job.owner = me
            connection.execute(_OWNER, (me, *this_process()))
        values = (job.id, job.tool, job.model, job.principal, _json(job.request), job.settings, job.resumes)
        more = (job.state, job.owner, job.fence, _json(job.progress), job.text, job.result, job.tokens, clock.now())
        # What was written by a connection that broke off before it said so is written again.
        is_new = connection.execute(_ADD, (*values, *more)).rowcount == 1
        if not is_running and not is_new:
            connection.execute(_END, (*_outcome(job), clock.now(), job.id, me, job.fence))
        elif not is_running:
            connection.execute(
                "UPDATE jobs SET ended = (SELECT coalesce(max(ended), 0) + 1 FROM jobs) WHERE id = ?", (job.id,)
            )


def _update(connection: Connection, *, me: str, updates: Sequence[JobUpdate]) -> JobNews:
    now, lost = clock.now(), set[str]()
    with transaction(connection):
        connection.execute("UPDATE job_owners SET beats = beats + 1 WHERE id = ?", (me,))
        for job in updates:
            values = (job.model, _json(job.progress), job.text, now, job.id, me, job.fence)
            if not connection.execute(_UPDATE, values).rowcount:
                lost.add(job.id)
    asked = connection.execute("SELECT id FROM jobs WHERE owner = ? AND cancel = 1", (me,)).fetchall()
    return JobNews(frozenset(lost), frozenset(job_id for (job_id,) in asked))


def _end(connection: Connection, *, me: str, job: StoredJob, keep: KeepLimits) -> tuple[bool, bool]:
    now = clock.now()
    with transaction(connection):
        connection.lock(LOCK)
        is_mine = connection.execute(_END, (*_outcome(job), now, job.id, me, job.fence)).rowcount == 1
        # Whoever takes it over has another fence.
        kept = is_mine or connection.execute(_HAS_ENDED, (job.id, job.fence)).fetchone() is not None
        return kept, _drop(connection, me, keep, now)


def _outcome(job: StoredJob) -> tuple[Any, ...]:
    return job.state, job.model, _json(job.progress), job.text, job.result, job.tokens


def _tidy(connection: Connection, *, me: str, keep: KeepLimits) -> bool:
    with transaction(connection):
        connection.lock(LOCK)
        return _drop(connection, me, keep, clock.now())


def _drop(connection: Connection, me: str, keep: KeepLimits, now: float) -> bool:
    """Delete what is too old, and of the ended jobs those beyond the limits, as `surplus` says."""
    cut = now - keep.cut_seconds
    ages = (me, now - WAITING_DAYS * _SECONDS_PER_DAY, cut, cut, now - keep.seconds)
    dropped = connection.execute(_EXPIRED, ages).rowcount
    ended = connection.execute(_ENDED).fetchall()
    for place in surplus([row[1:] for row in ended], keep.count, keep.bytes):
        dropped += connection.execute("DELETE FROM jobs WHERE number = ?", ended[place][:1]).rowcount
    connection.execute(_FORGET_OWNERS, (me,))
    return dropped > 0


def _release(connection: Connection, *, me: str, jobs: Sequence[StoredJob]) -> None:
    with transaction(connection):
        for job in jobs:
            connection.execute(_RELEASE, (_json(job.progress), job.text, job.id, me, job.fence))


def _take(connection: Connection, *, me: str, job: StoredJob) -> bool:
    with transaction(connection):
        connection.lock(LOCK)
        connection.execute(_OWNER, (me, *this_process()))
        return connection.execute(_TAKE, (me, job.id, job.owner, job.fence)).rowcount == 1


def _ask_to_cancel(connection: Connection, *, job_id: str, tell: bool) -> None:
    connection.execute("UPDATE jobs SET cancel = 1 WHERE id = ?", (job_id,))
    if tell:
        connection.execute("SELECT pg_notify(?, ?)", (CANCEL_CHANNEL, job_id))


def _select(connection: Connection, *, columns: str, where: str, values: tuple[str, ...]) -> list[StoredJob]:
    statement = f"SELECT {columns} FROM jobs WHERE {where} ORDER BY number DESC LIMIT {_MOST_LISTED}"
    return [_stored(*row) for row in connection.execute(statement, values).fetchall()]


def _stored(*row: Any) -> StoredJob:
    job = StoredJob(*row)
    job.request = json.loads(row[4]) if row[4] is not None else None
    job.resumes, job.progress = bool(job.resumes), json.loads(row[10])
    return job


def _owners(connection: Connection) -> dict[str, JobOwner]:
    found = connection.execute("SELECT id, machine, pid, born, beats FROM job_owners").fetchall()
    return {owner: JobOwner(ProcessIdentity(machine, pid, born), beats) for owner, machine, pid, born, beats in found}


def _owners_at_work(connection: Connection, *, me: str) -> dict[str, JobOwner | None]:
    found = connection.execute(_AT_WORK, (me,)).fetchall()
    return {
        name: None if beats is None else JobOwner(ProcessIdentity(machine, pid, born), beats)
        for name, machine, pid, born, beats in found
    }


def _json(value: dict[str, Any] | None) -> str | None:
    # Half a surrogate pair, which a client may send, has no UTF-8; escaped it has.
    return None if value is None else json.dumps(value)
