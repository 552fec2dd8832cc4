"""The queue of one host: requests that run a model, counted by model, first come first served in two classes.

Calls that a user waits for go before work on many inputs (bulk). While such a call is at work on the host, one request
at a time of bulk work is sent, since Ollama's own queue knows no classes.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ollama_mcp.errors import ApiError, Busy, InvalidArgument, NotInTime
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.hosts.call_scope import CURRENT_CALL, CallScope
from ollama_mcp.hosts.health import Health
from ollama_mcp.hosts.model_activity import ServiceTimes
from ollama_mcp.hosts.recent import RecentDict

if TYPE_CHECKING:
    from ollama_mcp.api.events import Stats
    from ollama_mcp.api.http_session import ApiRequest
    from ollama_mcp.hosts.others import OtherProcesses

# How often a waiting call's place is told, in seconds; less often where many wait, since finding it takes a while.
_TELL_SECONDS, _TELL_MANY_SECONDS, _MANY = 1.0, 10.0, 50
# Clients choose the names of models.
_MAX_ANSWERED = 1_024

Limits = tuple[int, int]
"""Requests that are sent at once for each model, and whatever the model; the second is 0 where there is no limit."""


class Ticket:
    """A request's place on the host; `ready` is done when it may be sent."""

    __slots__ = ("bulk", "key", "model", "queue", "ready")

    def __init__(self, queue: HostQueue, model: str, *, bulk: bool) -> None:
        self.queue, self.model, self.bulk = queue, model, bulk
        try:
            self.key = parse_name(model).key
        except InvalidArgument:
            # What is no name is Ollama's to refuse.
            self.key = model
        self.ready: asyncio.Future[None] | None = None

    def leave(self, error: BaseException | None = None) -> None:
        """Give the place up; `error` is what the request failed with."""
        self.queue.leave(self, error)

    def record(self, stats: Stats) -> None:
        """Learn from how long the host worked."""
        self.queue.times.record(self.key, stats)


class HostQueue:
    """Admits requests to a host.

    Args:
        name: What messages call the host.
        in_flight: Requests sent at once for each model.
        waiting: Requests that wait for each model.
        at_once: Requests that the host works on at once, whatever the model; 0 is no limit.

    Attributes:
        health: What the requests tell of the host.
        times: How long its requests take.
        counts: Requests by model key, sent and waiting.
        answered_at: When each model last answered, by model key; of those that answered last.
        limits: What all processes together send at once.
        others: What other processes do there; None where none is known.
    """

    others: OtherProcesses | None = None

    def __init__(self, name: str, *, in_flight: int, waiting: int, at_once: int = 0) -> None:
        self.name = name
        self.health = Health()
        self.times = ServiceTimes()
        self.counts: Counter[str] = Counter()
        self.answered_at: RecentDict[str, float] = RecentDict(_MAX_ANSWERED)
        self.limits: Limits = in_flight, at_once
        self._in_flight, self._waiting, self._at_once = in_flight, waiting, at_once
        self._sent: Counter[str] = Counter()
        self._sent_bulk = self._sent_all = 0
        # By class, interactive calls first.
        self._queues: tuple[deque[Ticket], deque[Ticket]] = (deque(), deque())

    @property
    def sent(self) -> int:
        """Requests that the host works on."""
        return self._sent_all

    @property
    def waiting(self) -> int:
        """Requests that wait here."""
        return len(self._queues[0]) + len(self._queues[1])

    @property
    def part(self) -> Limits:
        """The part of the limits that this process keeps to."""
        return self._in_flight, self._at_once

    def divide(self, part: Limits, others: OtherProcesses | None) -> None:
        """Keep to a part of the limits from now on, since others use the host too.

        What was sent stays there: of a smaller part, nothing more is sent until there is room.
        """
        self.others = others
        self._in_flight, self._at_once = part
        self._send_waiting()

    def sent_by_model(self) -> dict[str, int]:
        """Requests that the host works on, by model key."""
        return dict(self._sent)

    def ahead(self) -> Mapping[str, int]:
        """Requests that come before a new one, by model key: those that are here, and those that others have sent."""
        return self.counts if self.others is None else self.counts + Counter(self.others.sent)

    def request_seconds(self, key: str) -> float | None:
        """Seconds of work for a request there, measured here or else by others; None where nobody did."""
        known = self.times.request_seconds(key)
        return self.others.seconds.get(key) if known is None and self.others is not None else known

    def last_answer(self, key: str) -> float:
        """When the model last answered, here or others, on the monotonic clock; minus infinity if that is unknown."""
        own = self.answered_at.get(key, float("-inf"))
        return own if self.others is None else max(own, self.others.answered_at.get(key, own))

    def is_full(self, key: str) -> bool:
        """Whether no further request of the model with that key can wait."""
        return self.counts[key] - self._sent[key] >= self._waiting and self._sent[key] >= self._in_flight

    async def enter(self, request: ApiRequest) -> Ticket:
        """Wait until the request may be sent.

        Raises:
            Busy: Too many wait for the model.
        """
        scope = CURRENT_CALL.get() or CallScope()
        ticket = Ticket(self, request.model or "", bulk=scope.bulk)
        if not self._queues[0] and not self._queues[1] and self._has_room(ticket):
            self._send(ticket)
            return ticket
        key = ticket.key
        waiting = self.counts[key] - self._sent[key]
        if waiting >= self._waiting:
            raise Busy(
                f"{waiting:,} calls wait for {ticket.model} on {self.name} already.",
                model=ticket.model,
                next_step="Wait for them to end, use another model, or raise limits.waiting in the settings.",
            )
        self.counts[key] += 1
        ticket.ready = asyncio.get_running_loop().create_future()
        self._queues[ticket.bulk].append(ticket)
        # It may be of a model that has room, while those before it are not.
        self._send_waiting()
        try:
            await self._wait(ticket, scope)
        except BaseException:
            if ticket.ready.done() and not ticket.ready.cancelled():
                self.leave(ticket)
            else:
                self._queues[ticket.bulk].remove(ticket)
                self._count_down(key)
            raise
        return ticket

    def leave(self, ticket: Ticket, error: BaseException | None = None) -> None:
        """Take a request that was sent off the host, and send the next one that waits."""
        self._sent[ticket.key] -= 1
        self._sent_all -= 1
        self._sent_bulk -= ticket.bulk
        if not self._sent[ticket.key]:
            del self._sent[ticket.key]
        self._count_down(ticket.key)
        if error is None:
            self.answered_at[ticket.key] = time.monotonic()
        if error is None or (isinstance(error, ApiError) and error.status is not None and error.detail):
            # An answer, or Ollama's own words about an error: it is there.
            if self.health.is_troubled:
                self.health.succeeded()
        elif isinstance(error, asyncio.CancelledError | NotInTime):
            self.health.end_trial()
        else:
            self.health.failed(error)
        if self._queues[0] or self._queues[1]:
            self._send_waiting()

    def _has_room(self, ticket: Ticket) -> bool:
        if self._sent[ticket.key] >= self._in_flight or (self._at_once and self._sent_all >= self._at_once):
            return False
        return not ticket.bulk or not self._sent_bulk or self._sent_all == self._sent_bulk

    def _send(self, ticket: Ticket) -> None:
        if ticket.ready is None:
            self.counts[ticket.key] += 1
        self._sent[ticket.key] += 1
        self._sent_all += 1
        self._sent_bulk += ticket.bulk

    def _send_waiting(self) -> None:
        """Send what has room; an interactive call that waits holds back bulk work of its model."""
        for queue in self._queues:
            blocked: set[str] = set()
            for ticket in list(queue):
                if self._at_once and self._sent_all >= self._at_once:
                    return
                if ticket.key in blocked or not self._has_room(ticket):
                    blocked.add(ticket.key)
                    continue
                queue.remove(ticket)
                assert ticket.ready is not None
                self._send(ticket)
                ticket.ready.set_result(None)

    def _count_down(self, key: str) -> None:
        self.counts[key] -= 1
        if not self.counts[key]:
            del self.counts[key]

    def _place(self, ticket: Ticket) -> int:
        """How many of the model are ahead: those that were sent, and those that wait before it."""
        waiting = [*self._queues[0], *self._queues[1]]
        ahead = waiting[: waiting.index(ticket)] if ticket in waiting else []
        return self._sent[ticket.key] + sum(other.key == ticket.key for other in ahead)

    async def _wait(self, ticket: Ticket, scope: CallScope) -> None:
        assert ticket.ready is not None
        progress = scope.progress
        # Of many inputs, the progress is told as a whole.
        if progress is None or scope.bulk:
            await ticket.ready
            return

        def described() -> str:
            count = self._place(ticket)
            return f"waiting for {ticket.model} on {self.name}: {count} call{'s' * (count != 1)} before this one"

        progress.queued = described
        told = ""
        try:
            while not ticket.ready.done():
                if (text := described()) != told:
                    told = text
                    await progress.say(text)
                pause = _TELL_SECONDS if self.waiting < _MANY else _TELL_MANY_SECONDS
                await asyncio.wait({ticket.ready}, timeout=pause)
        finally:
            progress.queued = None
