"""The real server over streamable HTTP as a process, and requests that are not what it expects."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass

_HOST = "127.0.0.1"
_SECONDS = 20.0


@dataclass
class FuzzedHttp:
    """An address that serves MCP, and what holds for each of its answers whatever it was asked."""

    port: int
    stderr: list[str]

    def post(self, body: bytes) -> tuple[int, bytes]:
        """Send a body with the headers of an MCP client of 2025-11-25 without a session, and of one of 2026-07-28."""
        common = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("Content-Length", str(len(body))),
        ]
        modern = [
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", "ollama_show_model"),
        ]
        self._exchange("POST", common, body)
        return self._exchange("POST", [*common, *modern], body)

    def odd(self, method: str, fields: list[tuple[str, str]], body: bytes) -> None:
        """Send a request with odd headers."""
        length = [] if any(name in ("Content-Length", "Transfer-Encoding") for name, _ in fields) else [len(body)]
        self._exchange(method, [*fields, *(("Content-Length", str(each)) for each in length)], body)

    def _exchange(self, method: str, fields: list[tuple[str, str]], body: bytes) -> tuple[int, bytes]:
        """Send one request on a connection of its own; its status and what follows the headers."""
        head = f"{method} /mcp HTTP/1.1\r\nHost: {_HOST}:{self.port}\r\nConnection: close\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
        with socket.create_connection((_HOST, self.port), timeout=_SECONDS) as connection:
            connection.sendall(head.encode("latin-1") + body)
            answer = b""
            while chunk := connection.recv(65_536):
                answer += chunk
        return self._check(answer)

    def _check(self, answer: bytes) -> tuple[int, bytes]:
        start, _, content = answer.partition(b"\r\n\r\n")
        assert start.startswith(b"HTTP/1.1 "), answer[:200]
        status = int(start.split()[1])
        assert 200 <= status < 500 or status == 503, answer[:500]
        assert b"Traceback" not in content and b"[internal]" not in content, content
        assert "Traceback" not in "".join(self.stderr), self.stderr
        for line in content.splitlines():
            # JSON as such, or as data of an event stream; a refusal of ours is plain text.
            if line.startswith((b"{", b"data: {")):
                assert json.loads(line.removeprefix(b"data: "))["jsonrpc"] == "2.0"
        return status, content
