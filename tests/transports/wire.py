"""Raw clients: JSON-RPC lines over a process's pipes, and HTTP requests over a socket."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.program import program

ROOT = Path(__file__).parents[2]
# For what a forked process would not show: its memory, streams that are closed, modules that are missing.
SAMPLE = [sys.executable, str(Path(__file__).with_name("serve_sample.py"))]
HANDSHAKE_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSION = "2026-07-28"
_SECONDS = 60.0

Message = dict[str, Any]


def environment() -> dict[str, str]:
    """Environment of a process that can import the project from the checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def sample() -> list[str]:
    """What to start in the place of SAMPLE: in a tenth of its time."""
    return program("tests.transports.serve_sample")


def request(number: int | str, method: str, params: Mapping[str, Any] | None = None, **fields: Any) -> Message:
    """A JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": dict(params or {}), **fields}


def initialize(number: int | str = 0, version: str = "2025-11-25") -> Message:
    """The first request of a handshake."""
    client = {"name": "raw", "version": "1"}
    return request(number, "initialize", {"protocolVersion": version, "capabilities": {}, "clientInfo": client})


def modern(number: int | str, method: str, params: Mapping[str, Any] | None = None) -> Message:
    """A request of protocol 2026-07-28."""
    prefix = "io.modelcontextprotocol"
    meta: Message = {f"{prefix}/protocolVersion": MODERN_VERSION, f"{prefix}/clientCapabilities": {}}
    return request(number, method, {**(params or {}), "_meta": meta})


def call(number: int | str, tool: str, *, era: str = "legacy", **arguments: Any) -> Message:
    """A tool call of either era."""
    params = {"name": tool, "arguments": arguments}
    return modern(number, "tools/call", params) if era == "modern" else request(number, "tools/call", params)


def as_line(message: Message) -> bytes:
    """A message as it goes over stdio."""
    return json.dumps(message).encode() + b"\n"


def text_of(answer: Message) -> str:
    """The text of a tool's result."""
    return answer["result"]["content"][0]["text"]


INITIALIZED: Message = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class StdioPeer:
    """A server process and the client's end of its pipes."""

    def __init__(
        self,
        *arguments: str,
        command: list[str] | None = None,
        folder: Path = ROOT,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            [*(command or sample()), *(arguments if command or arguments else ("stdio",))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment() if env is None else env,
            bufsize=0,
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._journal: queue.Queue[str] = queue.Queue()
        self.stderr: list[str] = []
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._read, self._listen)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(_SECONDS)
        for thread in self._threads:
            thread.join(_SECONDS)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def send(self, *messages: Message) -> None:
        """Writes messages, one a line, in one write."""
        self.write(b"".join(map(as_line, messages)))

    def write(self, data: bytes) -> None:
        """Writes bytes."""
        assert self.process.stdin is not None
        rest = memoryview(data)
        while rest:
            rest = rest[self.process.stdin.write(rest) or 0 :]

    def receive(self) -> Message:
        """The next message; fails after 20 s."""
        message: Message = json.loads(self.receive_line())
        assert message["jsonrpc"] == "2.0"
        return message

    def receive_line(self) -> bytes:
        """The next line as it came, b"" at the end; fails after 20 s."""
        return self._lines.get(timeout=_SECONDS)

    def ask(self, message: Message) -> Message:
        """Sends a request and gives its answer; what else comes before is dropped."""
        self.send(message)
        while (answer := self.receive()).get("id") != message["id"]:
            pass
        return answer

    def handshake(self, version: str = "2025-11-25") -> Message:
        """Opens a session; gives the result of `initialize`."""
        result = self.ask(initialize("hello", version))["result"]
        self.send(INITIALIZED)
        return result

    def until(self, entry: str, times: int = 1) -> None:
        """Waits until the server wrote a line to stderr that often."""
        while times:
            times -= self.next_line() == entry

    def next_line(self) -> str:
        """The next line that the server writes to stderr."""
        return self._journal.get(timeout=_SECONDS)

    def rest(self) -> list[Message]:
        """All messages until stdout ends."""
        messages: list[Message] = []
        while (line := self._lines.get(timeout=_SECONDS)) != b"":
            messages.append(json.loads(line))
        return messages

    def close_stdin(self) -> None:
        """Says that the client is done."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self) -> int:
        """Waits for the end of the process; gives its exit code."""
        code = self.process.wait(_SECONDS)
        self._threads[1].join(_SECONDS)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        with os.fdopen(os.dup(self.process.stdout.fileno()), "rb") as stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(b"")

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            text = line.decode().rstrip("\n")
            self.stderr.append(text)
            self._journal.put(text)


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for each, value in self.headers if each == name), None)

    @property
    def messages(self) -> list[Message]:
        """The JSON-RPC messages of the body, be it JSON or an event stream."""
        if (self.header("content-type") or "").startswith("application/json"):
            return [json.loads(self.body)]
        lines = self.body.decode().splitlines()
        return [
            json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:") and line[5:].strip()
        ]


@dataclass
class HttpPeer:
    """A client of one HTTP server; each request has a connection of its own."""

    port: int
    host: str = "127.0.0.1"
    path: str = "/mcp"
    session: str | None = None
    numbers: int = field(default=0)

    async def raw(self, head: str, body: bytes = b"", source: str | None = None) -> Answer:
        """Sends bytes as they are and reads the answer to its end."""
        reader, writer = await self.open(head, body, source)
        try:
            return await read_answer(reader)
        finally:
            writer.close()

    async def open(
        self, head: str, body: bytes = b"", source: str | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Sends bytes as they are; leaves the connection open."""
        local = (source, 0) if source else None
        reader, writer = await asyncio.open_connection(self.host, self.port, local_addr=local, limit=2**26)
        writer.write(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n" + body)
        return reader, writer

    def head(self, message: Message, era: str = "legacy", **headers: str) -> tuple[str, bytes]:
        """The head and the body of a POST with a message."""
        body = json.dumps(message).encode()
        fields = {
            "Host": f"127.0.0.1:{self.port}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        if era == "modern":
            fields |= {"MCP-Protocol-Version": MODERN_VERSION, "Mcp-Method": message["method"]}
            if name := message.get("params", {}).get("name"):
                fields["Mcp-Name"] = name
        elif self.session:
            fields["Mcp-Session-Id"] = self.session
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        return f"POST {self.path} HTTP/1.1\n" + "".join(f"{name}: {value}\n" for name, value in fields.items()), body

    async def post(self, message: Message, era: str = "legacy", **headers: str) -> Answer:
        """Sends one message and reads the answer."""
        return await self.raw(*self.head(message, era, **headers))

    async def begin(self, message: Message, era: str = "legacy") -> asyncio.StreamWriter:
        """Sends one message and leaves its answer unread."""
        return (await self.open(*self.head(message, era)))[1]

    async def handshake(self, version: str = "2025-11-25") -> Message:
        """Opens a session; gives the result of `initialize`."""
        self.session = None
        answer = await self.post(initialize("hello", version))
        assert answer.status == 200, answer
        self.session = answer.header("mcp-session-id")
        assert (await self.post(INITIALIZED)).status == 202
        return answer.messages[-1]["result"]


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Reads one HTTP answer, chunked or not."""
    async with asyncio.timeout(_SECONDS):
        status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        pairs = [field.partition(":") for field in fields]
        answer = Answer(int(status.split()[1]), [(name.lower(), value.strip()) for name, _, value in pairs])
        if answer.header("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                answer.body += (await reader.readexactly(size + 2))[:-2]
        else:
            answer.body = await reader.readexactly(int(answer.header("content-length") or 0))
        return answer
