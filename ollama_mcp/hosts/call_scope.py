"""What the hosts know of the call that a request belongs to; set once for each call, inherited by its tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol


class Listener(Protocol):
    """Where a call's progress is reported; `queued` says what it waits for, and is set only while it waits."""

    queued: Callable[[], str] | None

    def say(self, text: str | Callable[[], str]) -> Awaitable[None]:
        """Say something now."""
        ...


@dataclass(slots=True)
class CallScope:
    """One call.

    Attributes:
        progress: Where its place in a queue is reported.
        bulk: Whether it is work on many inputs, which lets others go first.
        digests: The digest that each model had when the call first used it: another one is another model.
        notes: What the call's user should know of the hosts.
    """

    progress: Listener | None = None
    bulk: bool = False
    digests: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])


# Set where a call begins: requests of that task and of those that it starts belong to the call.
CURRENT_CALL: ContextVar[CallScope | None] = ContextVar("call_scope", default=None)


def current_call() -> CallScope:
    """The call that this task works for; an empty one outside of calls."""
    return CURRENT_CALL.get() or CallScope()


def mark_bulk() -> None:
    """Let the other calls go first from now on: this one works on many inputs."""
    if (scope := CURRENT_CALL.get()) is not None:
        scope.bulk = True
