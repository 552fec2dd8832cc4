"""Going on unasked with the jobs of servers that died: each server that shares the store looks for them.

A job goes on with the rights of whoever began it, as they are now: by a token that was revoked or narrowed since, or
that nobody here knows, nothing goes on until its owner asks.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import DiskError
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL, Principal

if TYPE_CHECKING:
    from ollama_mcp.server.auth.authenticator import Authenticator
    from ollama_mcp.server.job import Job
    from ollama_mcp.server.leases import Leases
    from ollama_mcp.store.jobs import Jobs, StoredJob

log = logging.getLogger(__name__)

_WATCH_SECONDS = 5.0
# So that one server does not take all that another left.
_NEXT_SECONDS = 1.0
_TOKEN = "token "

Settle = Callable[["StoredJob"], Awaitable[object]]


def rights_of(principal: Principal | None) -> dict[str, Any] | None:
    """What is kept with a job of the rights that it began with; None where there are no tokens."""
    return None if principal is None else {"scopes": sorted(principal.scopes), "proof": _proof(principal)}


def tell_of(stored: StoredJob, job: Job | None) -> Job | None:
    """Log what became of a job whose server is gone, and return it; None is left to others."""
    if job is not None:
        done = "goes on here" if job.task is not None else "is ended here"
        log.warning("Job %s %s: the server that worked on it is gone.", stored.id, done)
    return job


async def watch(
    jobs: Jobs, leases: Leases, auth: Authenticator | None, has_room: Callable[[], bool], settle: Settle
) -> None:
    """Have jobs that other processes left settled, one at a time, until cancelled.

    Args:
        jobs: The jobs in the store.
        leases: Tells which processes have ended.
        auth: Knows whose rights they may have; None where clients need no token.
        has_room: Whether another job may run here.
        settle: Goes on with a job in the name of whoever the task works for, or ends it; returns whether it did.
    """
    while True:
        found = False
        try:
            found = has_room() and await _settle_one(jobs, leases, auth, settle)
        except DiskError as error:
            leases.begin_anew()
            log.debug("%s", error)
        except Exception:
            log.exception("Looking for jobs of other servers failed, and goes on.")
        await asyncio.sleep(_NEXT_SECONDS if found else _WATCH_SECONDS)


async def _settle_one(jobs: Jobs, leases: Leases, auth: Authenticator | None, settle: Settle) -> bool:
    """Settle the first job that may be; returns whether there was one."""
    owners = await jobs.owners_at_work()
    over = {owner for owner in owners if leases.is_over(owner, owners)}
    # Read whole only where something is to be done.
    left = [job for job in reversed(await jobs.running()) if job.owner in over] if over else []
    for job in left:
        principal = await owner_now(job, auth)
        needs_rights = job.resumes and not job.cancel and (auth is not None or job.principal.startswith(_TOKEN))
        if needs_rights and principal is None:
            continue
        current = CURRENT_PRINCIPAL.set(principal)
        try:
            if await settle(job):
                return True
        finally:
            CURRENT_PRINCIPAL.reset(current)
    return False


async def owner_now(job: StoredJob, auth: Authenticator | None) -> Principal | None:
    """Who began a job, with their present rights; None where these are less, or not known."""
    given: dict[str, Any] | None = (job.request or {}).get("by")
    if auth is None or given is None or not job.principal.startswith(_TOKEN):
        return None
    found = await auth.by_name(job.principal.removeprefix(_TOKEN))
    if found is None or _proof(found) != given["proof"] or not found.scopes.issuperset(given["scopes"]):
        return None
    return found


def _proof(principal: Principal) -> str:
    # Not the digest that the file of tokens has.
    return hashlib.sha256(principal.credential).hexdigest()
