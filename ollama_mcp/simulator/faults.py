"""Fault injection: rules that select requests, and the responses that fail as the rules say.

Kinds of faults:

    instead of a response  refuse, hang, status, forbidden, not_found, bad_gateway, unavailable, rate_limited,
                           unauthorized, nested_error, redirect
    before a response      delay
    in its head            content_type, gzip
    in its lines           slow_lines, stall, reset, cut, no_done, error_line, invalid_line, cut_utf8, huge_line, crlf,
                           blank_lines, joined, split, runner_death
"""

from __future__ import annotations

import asyncio
import difflib
import gzip
import json
from dataclasses import dataclass, fields
from typing import Literal, get_args

from ollama_mcp.simulator.errors import SERVER_BUSY, SIGNIN_URL
from ollama_mcp.simulator.go_json import Object, encode
from ollama_mcp.simulator.http import Connection, HttpRequest
from ollama_mcp.simulator.response import Headers, ResponseWriter

Kind = Literal[
    "refuse",
    "hang",
    "status",
    "forbidden",
    "not_found",
    "bad_gateway",
    "unavailable",
    "rate_limited",
    "unauthorized",
    "nested_error",
    "redirect",
    "delay",
    "content_type",
    "gzip",
    "slow_lines",
    "stall",
    "reset",
    "cut",
    "no_done",
    "error_line",
    "invalid_line",
    "cut_utf8",
    "huge_line",
    "crlf",
    "blank_lines",
    "joined",
    "split",
    "runner_death",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass
class Fault:
    """One rule: which requests it applies to, and what happens to them.

    Args:
        kind: What happens; the docstring of this module lists the kinds.
        path: Only requests to this path, such as "/api/chat"; a trailing "*" is a prefix match.
        model: Only requests that name this model.
        contains: Only requests whose body contains this, such as one text of a list.
        nth: Only the n-th request that matches path, model and contains, counted from 1; 0 is each of them.
        times: Applies at most this often; 0 is unlimited.
        after: Lines of the stream that are sent unchanged; -1 is all but the last.
        seconds: Duration of delay, slow_lines, hang and stall; 0 is forever for hang and stall.
        status: HTTP status of status and nested_error.
        text: The error text, the type of content_type, or the target of redirect.
        retry_after: Seconds in a Retry-After header; 0 omits it.
        size: Bytes added by huge_line.
        seen: How many requests matched path, model and contains.
        struck: How many requests the fault was applied to.
    """

    kind: Kind
    path: str = ""
    model: str = ""
    contains: str = ""
    nth: int = 0
    times: int = 0
    after: int = 0
    seconds: float = 0.0
    status: int = 500
    text: str = ""
    retry_after: int = 0
    size: int = 1 << 20
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is not a kind of fault; known: {', '.join(KINDS)}.")

    def applies_to(self, path: str, model: str, body: bytes) -> bool:
        """Whether the fault happens to a request; counts the request."""
        matches = path.startswith(self.path[:-1]) if self.path.endswith("*") else self.path in ("", path)
        if not matches or (self.model and self.model.lower() not in (model.lower(), f"{model}:latest".lower())):
            return False
        if self.contains and self.contains.encode() not in body:
            return False
        # Counted before the check of nth, which counts matching requests, applied to or not.
        self.seen += 1
        if (self.nth and self.seen != self.nth) or (self.times and self.struck >= self.times):
            return False
        self.struck += 1
        return True


class FaultRules:
    """The active rules, in the order in which they were added."""

    def __init__(self) -> None:
        self.rules: list[Fault] = []

    def add(self, *rules: Fault) -> None:
        """Activate rules."""
        self.rules += rules

    def clear(self) -> None:
        """Remove all rules."""
        self.rules.clear()

    def matching(self, path: str, model: str, body: bytes) -> list[Fault]:
        """The rules that apply to a request."""
        return [rule for rule in self.rules if rule.applies_to(path, model, body)]


def parse_fault(data: Object) -> Fault:
    """A rule from JSON.

    Raises:
        ValueError: The kind is missing or unknown, or a field is unknown.
    """
    # The counters are output only.
    known = {entry.name for entry in fields(Fault)} - {"seen", "struck"}
    if unknown := sorted(set(data) - known):
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}."
        raise ValueError(f"A fault has no field {unknown[0]!r}; {hint}")
    if "kind" not in data:
        raise ValueError("A fault needs a kind.")
    return Fault(**data)


_FOREVER = 86_400.0
_RUNNER_DIED = "an error was encountered while running the model: unexpected EOF"


async def respond_with_fault(rule: Fault, response: ResponseWriter) -> bool:
    """Respond instead of the handler if the rule says so; returns whether it did."""
    retry = {"Retry-After": str(rule.retry_after)} if rule.retry_after else {}
    match rule.kind:
        case "refuse":
            response.connection.reset()
        case "hang":
            await asyncio.sleep(rule.seconds or _FOREVER)
            response.connection.close()
        case "delay":
            await asyncio.sleep(rule.seconds)
            return False
        case "forbidden":
            response.send(403)
        case "not_found":
            response.text(404, "404 page not found")
        case "redirect":
            response.send(307, headers={"Location": rule.text or "http://127.0.0.1:1/"})
        case "bad_gateway":
            response.send(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html", retry)
        case "unavailable":
            response.json({"error": rule.text or SERVER_BUSY}, 503, headers=retry)
        case "rate_limited":
            response.json({"error": rule.text or "rate limit exceeded"}, 429, headers=retry)
        case "unauthorized":
            response.json({"error": "unauthorized", "signin_url": SIGNIN_URL}, 401)
        case "nested_error":
            inner = {"error": {"code": rule.status, "message": rule.text or "simulated", "type": "server_error"}}
            response.json({"error": json.dumps(inner)}, rule.status)
        case "status":
            response.json({"error": rule.text or "simulated failure"}, rule.status, headers=retry)
        case _:
            return False
    return True


class FaultyResponseWriter(ResponseWriter):
    """A response that fails as its rules say."""

    def __init__(self, connection: Connection, request: HttpRequest, rules: list[Fault]) -> None:
        super().__init__(connection, request)
        self._rules = {rule.kind: rule for rule in rules}
        self._pending = b""
        self._ended = False
        self.runner_died = False

    def send(self, status: int, body: bytes = b"", content_type: str = "", headers: Headers = None) -> None:
        if rule := self._rules.get("content_type"):
            content_type = rule.text or "text/html"
        if "gzip" in self._rules:
            body, headers = gzip.compress(body), {**(headers or {}), "Content-Encoding": "gzip"}
        if "cut" in self._rules or "reset" in self._rules:
            self._send_broken_body(status, body, content_type)
        elif "cut_utf8" in self._rules:
            super().send(status, body[:-2] + b"\xe2\x82", content_type, headers)
        elif "invalid_line" in self._rules:
            super().send(status, body[: len(body) // 2], content_type, headers)
        else:
            super().send(status, body, content_type, headers)

    def begin(self, content_type: str = "application/x-ndjson") -> None:
        rule = self._rules.get("content_type")
        super().begin(rule.text or "text/html" if rule else content_type)

    def chunk(self, data: bytes) -> None:
        if "crlf" in self._rules:
            data = data[:-1] + b"\r\n"
        if "blank_lines" in self._rules:
            data = b"\n" + data + b"\n\n"
        if "joined" in self._rules:
            self._pending += data
            return
        super().chunk(data)

    def write(self, data: bytes) -> None:
        if self._ended:
            return
        if "split" in self._rules and len(data) > 1:
            # Small pieces need no await between them, unlike two separate segments.
            for start in range(0, len(data), 7):
                super().write(data[start : start + 7])
        else:
            super().write(data)

    async def raw_line(self, data: bytes) -> None:
        # Compared as bytes, because a script may have written invalid JSON.
        last = b'"done":true' in data or data == b'{"status":"success"}'
        if rule := self._rules.get("slow_lines"):
            await asyncio.sleep(rule.seconds)
        # In this order: what delays the line, what changes it, what ends the stream.
        for kind in ("stall", "huge_line", "error_line", "invalid_line", "cut_utf8", "runner_death", "cut", "reset"):
            rule = self._rules.get(kind)
            if rule and not self._ended and (self.lines == rule.after or (rule.after < 0 and last)):
                data = await self._break_line(rule, data)
        # The handler may continue to write after the stream ended.
        if self._ended or (last and "no_done" in self._rules):
            return
        await super().raw_line(data)

    async def end(self) -> None:
        if self._pending:
            super().chunk(self._pending)
        if not self._ended:
            await super().end()

    async def _break_line(self, rule: Fault, data: bytes) -> bytes:
        match rule.kind:
            case "stall":
                await asyncio.sleep(rule.seconds or _FOREVER)
            case "huge_line":
                return data[:-1] + b',"padding":"' + b"x" * rule.size + b'"}'
            case "invalid_line":
                return data[: len(data) // 2]
            case "cut_utf8":
                return data[:-2] + b"\xe2\x82" + data[-2:]
            case "error_line" | "runner_death":
                self.runner_died = rule.kind == "runner_death"
                text = _RUNNER_DIED if self.runner_died else rule.text or "simulated failure"
                await super().raw_line(encode({"error": text}))
                await self.end()
                self._ended = True
            case _:
                self._disconnect(reset=rule.kind == "reset")
        return data

    def _disconnect(self, *, reset: bool) -> None:
        self._ended = True
        if reset:
            self.connection.reset()
        else:
            self.connection.close()

    def _send_broken_body(self, status: int, body: bytes, content_type: str) -> None:
        self.status = status
        # Content-Length announces the whole body, but only half of it is sent.
        head = f"HTTP/1.1 {status} OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.write(head.encode() + body[: len(body) // 2])
        self._disconnect(reset="reset" in self._rules)
