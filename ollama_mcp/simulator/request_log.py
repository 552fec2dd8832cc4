"""The request log: each request, whether it is still being served, and whether its client disconnected."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, field

from ollama_mcp.simulator.go_json import Object, as_object


@dataclass(slots=True, eq=False)
class LoggedRequest:
    """One request; `status` is 0 until the response begins."""

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
        """The body if it is a JSON object, else an empty one."""
        try:
            return as_object(json.loads(self.body))
        except ValueError:
            return {}

    @property
    def model(self) -> str:
        """The model that the request names."""
        body = self.json
        name = body.get("model") or body.get("name") or ""
        return name if isinstance(name, str) else ""

    def to_json(self) -> Object:
        """The entry as the control endpoints return it."""
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
    """A client that disconnected before its response was complete, `milliseconds` after its request."""

    request: LoggedRequest
    milliseconds: float
    lines: int


@dataclass
class RequestLog:
    """The last ten thousand requests."""

    requests: deque[LoggedRequest] = field(default_factory=lambda: deque[LoggedRequest](maxlen=10_000))
    disconnects: list[Disconnect] = field(default_factory=list[Disconnect])
    in_flight: set[LoggedRequest] = field(default_factory=set[LoggedRequest])
    total: int = 0

    def begin(self, method: str, path: str, headers: dict[str, str], body: bytes) -> LoggedRequest:
        """Add a request that arrived."""
        self.total += 1
        request = LoggedRequest(self.total, method, path, headers, body, time.monotonic())
        self.requests.append(request)
        self.in_flight.add(request)
        return request

    def end(self, request: LoggedRequest, *, disconnected: bool) -> None:
        """Record that a request was served, or that its client disconnected."""
        request.finished = time.monotonic()
        self.in_flight.discard(request)
        if disconnected:
            self.disconnects.append(Disconnect(request, (request.finished - request.started) * 1000, request.lines))

    def clear(self) -> None:
        """Remove the requests and disconnects so far."""
        self.requests.clear()
        self.disconnects.clear()
