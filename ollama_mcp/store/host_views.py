"""What each process does at the hosts, told to all that share a PostgreSQL database; lost with it, and soon known anew.

All times are the database's, so that clocks of machines may differ.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ollama_mcp.store.sql import Connection

# A process that said nothing for so long is dead.
ALIVE_SECONDS = 10.0

_LOCK = "host_views"
_FORGET_DEAD = "DELETE FROM host_views WHERE seen_at < clock_timestamp() - make_interval(secs => ?)"
_SELECT = """SELECT process, name, host, view, extract(epoch FROM clock_timestamp() - seen_at)::float8
    FROM host_views WHERE host = ANY(?::text[])"""
_KEEP = """INSERT INTO host_views (process, program, version, takes_rows, name, host, view, seen_at)
    VALUES (?, ?, ?, ? <> 0, ?, ?, ?, clock_timestamp())
    ON CONFLICT (process, name) DO UPDATE SET host = excluded.host, view = excluded.view, seen_at = excluded.seen_at"""
_FORGET = "DELETE FROM host_views WHERE process = ?"


@dataclass(frozen=True, slots=True)
class HostView:
    """What a process does at a host.

    Attributes:
        sent: Its requests that the host works on, by model key.
        waiting: Its requests that wait for that.
        in_flight: The most that it sends at once for a model.
        at_once: The most that it sends at once; 0 is no limit.
        seconds: Seconds of work for a request as it measured them, by model key.
        answered: Seconds since a model last answered it, by model key.
    """

    sent: Mapping[str, int] = field(default_factory=dict[str, int])
    waiting: int = 0
    in_flight: int = 0
    at_once: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    answered: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def is_busy(self) -> bool:
        """Whether it has requests for the host."""
        return bool(self.sent) or self.waiting > 0


class Process(NamedTuple):
    """Who tells views.

    Attributes:
        id: What tells it from all others.
        program: What it is and where it runs, for people.
        version: Its version.
        takes_rows: Whether it works on rows of batches.
    """

    id: str
    program: str = ""
    version: str = ""
    takes_rows: bool = False


class Place(NamedTuple):
    """A host as a process knows it: its own name for it, and the key by which others know the same host."""

    name: str
    host: str


class Seen(NamedTuple):
    """A view that was found, and how many seconds ago it was told."""

    process: str
    place: Place
    view: HostView
    age: float


def others_seen(connection: Connection, hosts: Collection[str]) -> list[Seen]:
    """The views of these hosts, of all that are alive; nobody else changes them before the transaction ends."""
    connection.lock(_LOCK)
    connection.execute(_FORGET_DEAD, (ALIVE_SECONDS,))
    found = connection.execute(_SELECT, (list(hosts),)).fetchall()
    return [Seen(process, Place(name, host), _decoded(view), age) for process, name, host, view, age in found]


def tell(connection: Connection, process: Process, views: Mapping[Place, HostView]) -> None:
    """Tell the views of a process in place of those before."""
    rows = [(*process, place.name, place.host, _encoded(view)) for place, view in views.items()]
    connection.execute_each(_KEEP, rows)


def withdraw(connection: Connection, process: str) -> None:
    """Delete the views of a process that ends."""
    connection.execute(_FORGET, (process,))


def _encoded(view: HostView) -> str:
    return json.dumps({one.name: getattr(view, one.name) for one in fields(view)})


def _decoded(text: str) -> HostView:
    # Another version of this program may tell more, or less.
    given: dict[str, Any] = json.loads(text)
    return HostView(**{one.name: given[one.name] for one in fields(HostView) if one.name in given})
