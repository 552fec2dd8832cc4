"""What the simulator saw: each request, whether it is still being served, and whether its client went away."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, field

from ollama_mcp.simulator.encoding import Object, as_object


@dataclass(slots=True, eq=False)
class Seen:
    """One request; `status` is 0 until an answer began."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    started: float
    status: int = 0
    lines: int = 0
    finished: float = 0.0

    @property
    def json(self) -> Object:
        """The body where it is a JSON object, else an empty one."""
        try:
            return as_object(json.loads(self.body))
        except ValueError:
            return {}

    @property
    def model(self) -> str:
        """The model that the request names."""
        given = self.json
        name = given.get("model") or given.get("name") or ""
        return name if isinstance(name, str) else ""

    def as_json(self) -> Object:
        """For the control endpoints."""
        return {
            "number": self.number,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "json": self.json,
            "status": self.status,
            "lines": self.lines,
            "milliseconds": round((self.finished - self.started) * 1000, 3) if self.finished else None,
        }


@dataclass(slots=True, frozen=True)
class Disconnect:
    """A client that went away before its answer was whole, `milliseconds` after its request."""

    request: Seen
    milliseconds: float
    lines: int


@dataclass
class Log:
    """The requests so far; the oldest are forgotten beyond ten thousand."""

    requests: deque[Seen] = field(default_factory=lambda: deque[Seen](maxlen=10_000))
    disconnects: list[Disconnect] = field(default_factory=list[Disconnect])
    active: set[Seen] = field(default_factory=set[Seen])
    total: int = 0

    def begin(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Seen:
        """Note a request that arrived."""
        self.total += 1
        seen = Seen(self.total, method, path, headers, body, time.monotonic())
        self.requests.append(seen)
        self.active.add(seen)
        return seen

    def end(self, seen: Seen, *, gone: bool) -> None:
        """Note that a request was served, or that its client is gone."""
        seen.finished = time.monotonic()
        self.active.discard(seen)
        if gone:
            self.disconnects.append(Disconnect(seen, (seen.finished - seen.started) * 1000, seen.lines))

    def clear(self) -> None:
        """Forget what is over."""
        self.requests.clear()
        self.disconnects.clear()
