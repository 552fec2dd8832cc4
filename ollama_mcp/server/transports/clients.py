"""How much each HTTP client has in hand; a client is an address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

from ollama_mcp.server.transports.body import Scope

Held = Literal["unfinished", "posts", "streams", "running"]


class Client:
    """What one address has in hand now: unfinished bodies, open POSTs, event streams, running calls."""

    def __init__(self) -> None:
        self._held: Counter[Held] = Counter()

    def __getitem__(self, what: Held) -> int:
        return self._held[what]

    @contextmanager
    def holding(self, what: Held) -> Generator[None]:
        """Counts one more of `what` while the block runs."""
        self._held[what] += 1
        try:
            yield
        finally:
            self._held[what] -= 1

    @property
    def calls(self) -> int:
        """Calls in flight: their POST is still open (streamable HTTP), or was answered at once (SSE)."""
        return max(self._held["posts"], self._held["running"])

    @property
    def idle(self) -> bool:
        """Whether nothing is in hand."""
        return not any(self._held.values())


class Clients:
    """The clients that have something in hand."""

    def __init__(self) -> None:
        self._known: dict[str, Client] = {}

    @contextmanager
    def client(self, address: str) -> Generator[Client]:
        """The client at an address; one that has nothing in hand afterwards is forgotten."""
        client = self._known.setdefault(address, Client())
        try:
            yield client
        finally:
            if client.idle:
                self._known.pop(address, None)


def address_of(scope: Scope) -> str:
    """The address a request came from; "socket" for a Unix socket."""
    peer: tuple[str, int] | None = scope.get("client")
    return peer[0] if peer else "socket"
