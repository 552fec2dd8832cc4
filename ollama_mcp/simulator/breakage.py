"""How faults come about: answers in the handler's place, and replies that break on the wire."""

from __future__ import annotations

import asyncio
import gzip
import json

from ollama_mcp.simulator.encoding import encode
from ollama_mcp.simulator.faults import Fault
from ollama_mcp.simulator.http import Connection, Request
from ollama_mcp.simulator.reply import Headers, Reply

_FOREVER = 86_400.0
_DEAD_RUNNER = "an error was encountered while running the model: unexpected EOF"


async def stand_in(rule: Fault, reply: Reply) -> bool:
    """Answer in the handler's place where the rule wants that; whether it did."""
    retry = {"Retry-After": str(rule.retry_after)} if rule.retry_after else {}
    match rule.kind:
        case "refuse":
            reply.connection.reset()
        case "hang":
            await asyncio.sleep(rule.seconds or _FOREVER)
            reply.connection.close()
        case "delay":
            await asyncio.sleep(rule.seconds)
            return False
        case "forbidden":
            reply.send(403)
        case "not_found":
            reply.text(404, "404 page not found")
        case "redirect":
            reply.send(307, headers={"Location": rule.text or "http://127.0.0.1:1/"})
        case "bad_gateway":
            reply.send(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html", retry)
        case "unavailable":
            busy = rule.text or "server busy, please try again.  maximum pending requests exceeded"
            reply.json({"error": busy}, 503, headers=retry)
        case "rate_limited":
            reply.json({"error": rule.text or "rate limit exceeded"}, 429, headers=retry)
        case "unauthorized":
            url = "https://ollama.com/connect?name=simulator&key=c2ltdWxhdG9y"
            reply.json({"error": "unauthorized", "signin_url": url}, 401)
        case "nested_error":
            inner = {"error": {"code": rule.status, "message": rule.text or "simulated", "type": "server_error"}}
            reply.json({"error": json.dumps(inner)}, rule.status)
        case "status":
            reply.json({"error": rule.text or "simulated failure"}, rule.status, headers=retry)
        case _:
            return False
    return True


class FaultyReply(Reply):
    """A reply that breaks as its rules say."""

    def __init__(self, connection: Connection, request: Request, rules: list[Fault]) -> None:
        super().__init__(connection, request)
        self._rules = {rule.kind: rule for rule in rules}
        self._joined = b""
        self._over = False
        self.runner_died = False

    def send(self, status: int, body: bytes = b"", content_type: str = "", headers: Headers = None) -> None:
        if rule := self._rules.get("content_type"):
            content_type = rule.text or "text/html"
        if "gzip" in self._rules:
            body, headers = gzip.compress(body), {**(headers or {}), "Content-Encoding": "gzip"}
        if "cut" in self._rules or "reset" in self._rules:
            self._broken_body(status, body, content_type)
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
            self._joined += data
            return
        super().chunk(data)

    def write(self, data: bytes) -> None:
        if self._over:
            return
        if "split" in self._rules and len(data) > 1:
            # Two segments with a turn of the loop between them would need an await; small pieces do as well.
            for start in range(0, len(data), 7):
                super().write(data[start : start + 7])
        else:
            super().write(data)

    async def raw_line(self, data: bytes) -> None:
        # The line is looked at as bytes: a script may have written what is no JSON.
        last = b'"done":true' in data or data == b'{"status":"success"}'
        if rule := self._rules.get("slow_lines"):
            await asyncio.sleep(rule.seconds)
        # The order is that of a reader: a stall before the line, its content, then what ends the stream.
        for kind in ("stall", "huge_line", "error_line", "invalid_line", "cut_utf8", "runner_death", "cut", "reset"):
            rule = self._rules.get(kind)
            if rule and not self._over and (self.lines == rule.after or (rule.after < 0 and last)):
                data = await self._broken_line(rule, data)
        # Whatever the handler goes on to write is for nobody.
        if self._over or (last and "no_done" in self._rules):
            return
        await super().raw_line(data)

    async def end(self) -> None:
        if self._joined:
            super().chunk(self._joined)
        if not self._over:
            await super().end()

    async def _broken_line(self, rule: Fault, data: bytes) -> bytes:
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
                text = _DEAD_RUNNER if self.runner_died else rule.text or "simulated failure"
                await super().raw_line(encode({"error": text}))
                await self.end()
                self._over = True
            case _:
                self._break_off(reset=rule.kind == "reset")
        return data

    def _break_off(self, *, reset: bool) -> None:
        self._over = True
        if reset:
            self.connection.reset()
        else:
            self.connection.close()

    def _broken_body(self, status: int, body: bytes, content_type: str) -> None:
        self.status = status
        # The length promises the whole body; half of it comes.
        head = f"HTTP/1.1 {status} OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.write(head.encode() + body[: len(body) // 2])
        self._break_off(reset="reset" in self._rules)
