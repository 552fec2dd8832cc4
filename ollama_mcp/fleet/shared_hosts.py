"""The hosts of a process as others see them, and theirs as it sees them: told every two seconds through the store.

The limits of a host are divided by the processes that use it and are alive. One that has nothing to do there keeps only
a small part of a large limit, none of a small one, and the rest is lent to those that have. A part grows only into what
nobody else holds, by what they told last, so that all together stay within the limit; but each may always send one
request, so that one with something new to do begins at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from ipaddress import ip_address
from pathlib import Path
from platform import node
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urlsplit

from ollama_mcp import __version__
from ollama_mcp.hosts.others import OtherProcesses
from ollama_mcp.store.host_views import ALIVE_SECONDS, HostView, Place, Process, Seen, others_seen, tell, withdraw

if TYPE_CHECKING:
    from ollama_mcp.hosts import HostPool
    from ollama_mcp.hosts.queue import HostQueue, Limits
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

log = logging.getLogger(__name__)

PERIOD_SECONDS = 2.0
# Until the others are known a host gets one request at a time; no longer than this.
_FIRST_SECONDS = 2.0
# Who has nothing to do at a host keeps this part of an equal share.
_KEPT_BY_IDLE = 4
_MOST_MODELS = 32
_LONGEST_NAME = 256

Told = Mapping[Place, "tuple[HostView, Limits]"]
Found = dict[Place, tuple[HostView, list[Seen]]]


class Claim(NamedTuple):
    """What a process has of a limit: whether it needs it, and how many requests are its own by now."""

    is_busy: bool
    held: int


class SharedHosts:
    """Tells the others what this process does at its hosts, and keeps to its part of their limits.

    Without the database the last part holds for ten seconds, and then the whole limits, since the others, too, know
    nothing of this process any more.

    Args:
        database: The database of all of them.
        hosts: The hosts of this process.
        program: What it is, such as "worker".
        takes_rows: Whether it works on rows of batches.
    """

    def __init__(self, database: Database, hosts: HostPool, program: str, *, takes_rows: bool) -> None:
        self._database = database
        self._queues: dict[Place, HostQueue] = {
            Place(one.config.name, host_key(one.config.url)): one.queue for one in hosts.members
        }
        about = f"{program} on {node()} (process {os.getpid()})"
        self._process = Process(secrets.token_hex(8), about, __version__, takes_rows)
        self._task: asyncio.Task[None] | None = None
        self._until: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        """Begin to tell and to ask."""
        for queue in self._queues.values():
            queue.divide((1, min(1, queue.limits[1])), None)
        self._stands_for(_FIRST_SECONDS)
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(_log_failure)
        return self

    async def __aexit__(self, *error: object) -> None:
        """Leave the hosts to the others."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})
        self._stand_alone()
        await self._database.run_or_default(partial(withdraw, process=self._process.id), None)

    async def _run(self) -> None:
        was_seen = False
        while True:
            told = {place: (_view_of(queue), queue.limits) for place, queue in self._queues.items()}
            found = await self._database.run_or_default(partial(exchange, process=self._process, told=told), None)
            if found is not None:
                was_seen = True
                self._take(found)
                self._stands_for(ALIVE_SECONDS)
            elif not was_seen:
                self._stand_alone()
            await asyncio.sleep(PERIOD_SECONDS)

    def _take(self, found: Found) -> None:
        for place, (view, others) in found.items():
            self._queues[place].divide((view.in_flight, view.at_once), _summed(others))

    def _stands_for(self, seconds: float) -> None:
        """Let what is known hold for so long and no longer."""
        if self._until is not None:
            self._until.cancel()
        self._until = asyncio.get_running_loop().call_later(seconds, self._stand_alone)

    def _stand_alone(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None
        for queue in self._queues.values():
            queue.divide(queue.limits, None)


def exchange(connection: Connection, process: Process, told: Told) -> Found:
    """Tell what a process does at its hosts, with the part of the limits that it takes; in one transaction.

    Args:
        connection: The connection.
        process: Who tells it.
        told: Its hosts, with the whole limits of each.

    Returns:
        Its hosts, each with its part, and with what others do there.
    """
    seen = {(one.process, one.place): one for one in others_seen(connection, {place.host for place in told})}
    found: Found = {}
    for place, (view, limits) in told.items():
        others = [one for key, one in seen.items() if key != (process.id, place) and one.place.host == place.host]
        part = _part(view, limits, [one.view for one in others])
        found[place] = (part, others)
        # A host may have two names here: then each is another to the other.
        seen[process.id, place] = Seen(process.id, place, part, 0.0)
    tell(connection, process, {place: view for place, (view, _) in found.items()})
    return found


def _part(view: HostView, limits: Limits, others: Sequence[HostView]) -> HostView:
    for_model = [claim(one.in_flight, max(one.sent.values(), default=0), is_busy=one.is_busy) for one in others]
    for_all = [claim(one.at_once, sum(one.sent.values()), is_busy=one.is_busy) for one in others]
    in_flight, at_once = limits
    return HostView(
        view.sent,
        view.waiting,
        share(in_flight, is_busy=view.is_busy, others=for_model),
        share(at_once, is_busy=view.is_busy, others=for_all) if at_once else 0,
        view.seconds,
        view.answered,
    )


def claim(part: int, sent: int, *, is_busy: bool) -> Claim:
    """What a process has of a limit.

    Args:
        part: Its part of it.
        sent: Its requests that the host works on.
        is_busy: Whether it has something to do.
    """
    # The one request that each may send is nobody's while it is not needed.
    return Claim(is_busy, max(part if is_busy or part > 1 else 0, sent))


def share(limit: int, *, is_busy: bool, others: Collection[Claim]) -> int:
    """The part of a limit that a process may take; at least 1.

    Args:
        limit: What all may send together.
        is_busy: Whether it has something to do.
        others: What the others have of it.
    """
    alive = 1 + len(others)
    busy = is_busy + sum(one.is_busy for one in others)
    equal = limit // alive
    kept = equal // _KEPT_BY_IDLE
    fair = equal if is_busy or not busy else kept
    if is_busy and busy < alive:
        fair = (limit - kept * (alive - busy)) // busy
    return max(1, min(fair, limit - sum(one.held for one in others)))


def host_key(url: str) -> str:
    """What tells a host from all others for all processes: its address, and of one on loopback also the machine."""
    parts = urlsplit(url)
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}{parts.path}"
    return f"{address} of {_machine()}" if _is_loopback(parts.hostname or "") else address


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


@cache
def _machine() -> str:
    """What tells this machine, or the container with a network of its own, from others."""
    from hashlib import sha256

    found = [node()]
    with suppress(OSError):
        found.append(os.readlink("/proc/self/ns/net"))
    with suppress(OSError):
        found.append(Path("/etc/machine-id").read_text(encoding="utf-8").strip())
    # The number of a machine is not to be told to others as it is (machine-id(5)).
    return sha256(" ".join(found).encode()).hexdigest()[:16]


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("The hosts are no longer shared with other processes.", exc_info=error)


def _view_of(queue: HostQueue) -> HostView:
    now = time.monotonic()
    sent: Counter[str] = Counter()
    for key, number in queue.sent_by_model().items():
        sent[key[:_LONGEST_NAME]] += number
    answered = {key: now - at for key, at in list(queue.answered_at.items())[-_MOST_MODELS:]}
    seconds = queue.times.newest(_MOST_MODELS)
    return HostView(sent, queue.waiting, *queue.part, _short(seconds), _short(answered))


def _short(values: Mapping[str, float]) -> dict[str, float]:
    # Clients choose the names of models.
    return {key[:_LONGEST_NAME]: value for key, value in values.items()}


def _summed(others: Sequence[Seen]) -> OtherProcesses | None:
    if not others:
        return None
    now = time.monotonic()
    sent: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    answered: dict[str, float] = {}
    # What was told last counts.
    for one in sorted(others, key=lambda one: -one.age):
        sent.update(one.view.sent)
        seconds |= one.view.seconds
        for key, ago in one.view.answered.items():
            answered[key] = max(answered.get(key, float("-inf")), now - one.age - ago)
    return OtherProcesses(len({one.process for one in others}), sent, seconds, answered)
