"""Many generates in flight at once, with progress: is any lost or mixed up, how long does the server hold each up?

    python -m bench.load [--in-flight 1000] [--hosts 1] [--seconds 5]

Each host streams the prompt back over a fixed time, so each answer carries the mark of its call, and what a call takes
longer than that is what the server added. With several hosts one dies halfway and comes back. Over stdio and HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bench.clients import META, Process, running
from bench.server import free_port

_WORDS = " ".join(f"word{number}" for number in range(20))
_WARM_CALLS, _WARM_IN_FLIGHT = 1_000, 20
_SERVER = [sys.executable, "-m", "ollama_mcp", "--set", "store.path=:memory:"]

Ask = Callable[[str], Awaitable[tuple[str, int]]]
"""Makes a call with a prompt; gives its answer and how often its progress was reported. RuntimeError: it failed."""


@dataclass
class Outcome:
    """What became of the calls of one run.

    Attributes:
        added: Seconds that each answered call took longer than its host, sorted.
        failures: How often each kind of error came, of answers that had begun, or had not.
        mixed_up: Answers that were not those of their call.
        silent: Answered calls whose progress was never reported.
        resident: Bytes of the server's memory at rest, after a thousand calls a few at a time, and after the load.
        sockets: What the server had open at rest, at most, and a moment after the load.
    """

    added: list[float] = field(default_factory=list[float])
    failures: Counter[str] = field(default_factory=Counter[str])
    mixed_up: int = 0
    silent: int = 0
    resident: list[int] = field(default_factory=list[int])
    sockets: list[int] = field(default_factory=list[int])

    def percentile(self, percent: float) -> float:
        """Milliseconds that this share of the calls was held up at most."""
        return 1000 * self.added[min(int(len(self.added) * percent / 100), len(self.added) - 1)] if self.added else 0.0

    def row(self, name: str) -> str:
        """A row of the table."""
        held = " | ".join(f"{self.percentile(each):.0f}" for each in (50, 95, 99))
        memory = " / ".join(f"{each / 2**20:.0f}" for each in self.resident)
        failed = ", ".join(f"{count} {kind}" for kind, count in self.failures.items()) or "0"
        cells = (name, str(len(self.added)), failed, str(self.mixed_up), held, memory)
        return f"| {' | '.join(cells)} | {' / '.join(map(str, self.sockets))} |"


HEAD = (
    "| load | answered | failed | mixed up | added p50 ms | p95 | p99"
    " | MiB at rest / after 1,000 calls / after the load | sockets before / most / after |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


async def load(transport: str, *, in_flight: int, hosts: int = 1, seconds: float = 5.0, warm: int = 0) -> Outcome:
    """Run the calls over "stdio" or "http" and tell what became of them.

    Args:
        transport: How the server is called.
        in_flight: Calls, all at once.
        hosts: Ollama hosts behind the server. One of several dies while it answers, and comes back.
        seconds: How long a host streams each answer.
        warm: Calls before them, a few at a time.
    """
    outcome = Outcome()
    with _Hosts(hosts, seconds) as urls:
        async with _server(transport, urls.options) as (process, ask):
            outcome.resident.append(process.resident_bytes())
            if warm:
                await _warm_up(ask, warm)
                outcome.resident.append(process.resident_bytes())
            outcome.sockets = [process.sockets()] * 2
            marks = [f"mark{number} {_WORDS}" for number in range(in_flight)]
            calls = [asyncio.create_task(_call(ask, mark, seconds, outcome)) for mark in marks]
            death = asyncio.create_task(urls.kill_one(seconds))
            while not all(call.done() for call in calls):
                await asyncio.wait(calls, timeout=0.5)
                outcome.sockets[1] = max(outcome.sockets[1], process.sockets())
            await asyncio.gather(death, *calls)
            outcome.resident.append(process.resident_bytes())
            outcome.sockets.append(process.sockets())
    outcome.added.sort()
    return outcome


async def _call(ask: Ask, mark: str, seconds: float, outcome: Outcome) -> None:
    start = time.perf_counter()
    try:
        answer, reports = await ask(mark)
    except RuntimeError as error:
        found = re.search(r"\[([a-z_]+)\]", str(error))
        kind = found[1] if found else str(error)[:80]
        # Once an answer has begun, nobody may begin it anew; before that another host could have been asked.
        begun = mark.split()[0] in str(error)
        outcome.failures[kind if begun else f"{kind} before its first word"] += 1
        return
    outcome.added.append(time.perf_counter() - start - seconds)
    outcome.mixed_up += answer != mark
    outcome.silent += not reports


async def _warm_up(ask: Ask, calls: int) -> None:
    remaining: Iterator[int] = iter(range(calls))

    async def work() -> None:
        for _ in remaining:
            await ask("m")

    await asyncio.gather(*(work() for _ in range(_WARM_IN_FLIGHT)))


class _Hosts(ExitStack):
    """Fake hosts as processes; the first of several can die and come back on its port."""

    def __init__(self, count: int, seconds: float) -> None:
        super().__init__()
        self._count = count
        self._seconds = str(seconds)
        self._first = ExitStack()
        self._urls: list[str] = []

    def __enter__(self) -> _Hosts:
        self.enter_context(self._first)
        stacks = [self._first, *[self] * (self._count - 1)]
        self._urls = [
            stack.enter_context(running("bench.fake_ollama", "--echo", "--seconds", self._seconds)) for stack in stacks
        ]
        return self

    @property
    def options(self) -> list[str]:
        """Options of a server that uses these hosts."""
        if self._count == 1:
            return ["--set", f"host={self._urls[0]}"]
        return [part for n, url in enumerate(self._urls) for part in ("--set", f"hosts.host{n}.url={url}")]

    async def kill_one(self, seconds: float) -> None:
        """End the first of several hosts halfway through its answers, and start it again after as long."""
        if self._count == 1:
            return
        await asyncio.sleep(seconds / 2)
        await asyncio.to_thread(self._first.close)
        await asyncio.sleep(seconds / 2)
        port = str(urlsplit(self._urls[0]).port)
        again = running("bench.fake_ollama", "--echo", "--seconds", self._seconds, "--port", port)
        await asyncio.to_thread(self._first.enter_context, again)


@asynccontextmanager
async def _server(transport: str, options: list[str]) -> AsyncGenerator[tuple[Process, Ask]]:
    port = free_port()
    served = ["--transport", "http", "--port", str(port)] if transport == "http" else []
    process = Process([*_SERVER, *options, *served], "")
    await process.start()
    try:
        if transport == "http":
            await _listening(port)
            yield process, lambda prompt: _ask_http(port, prompt)
        else:
            await process.handshake()
            yield process, lambda prompt: _ask_stdio(process, prompt)
    finally:
        await process.close()


def _params(prompt: str, **meta: Any) -> dict[str, Any]:
    arguments = {"model": "m", "prompt": prompt}
    return {"name": "ollama_generate", "arguments": arguments, "_meta": {"progressToken": prompt[:12], **meta}}


async def _ask_stdio(process: Process, prompt: str) -> tuple[str, int]:
    params = _params(prompt)
    result = await process.ask("tools/call", params)
    return result["content"][0]["text"], process.progress.pop(params["_meta"]["progressToken"], 0)


async def _ask_http(port: int, prompt: str) -> tuple[str, int]:
    params = _params(prompt, **META)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n"
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: ollama_generate\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    try:
        writer.write(head.encode() + body)
        # The lines of the messages; those of headers, chunks and the event stream are left out.
        text = (await reader.read()).decode()
    except ConnectionError as error:
        raise RuntimeError(f"connection: {error!r}") from error
    finally:
        writer.close()
    messages = [
        json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith(("data: {", "{"))
    ]
    reports = [message for message in messages if message.get("method") == "notifications/progress"]
    if any(message["params"]["progressToken"] != params["_meta"]["progressToken"] for message in reports):
        raise RuntimeError("the progress of another call")
    answer = next((message["result"] for message in messages if "result" in message), None)
    if answer is None or answer.get("isError"):
        raise RuntimeError(str(answer["content"])[:1000] if answer else text[:80])
    return answer["content"][0]["text"], len(reports)


async def _listening(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def main() -> None:
    """Print a row for each transport."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--in-flight", type=int, default=1_000)
    options.add_argument("--hosts", type=int, default=1)
    options.add_argument("--seconds", type=float, default=5.0, help="that a host streams each answer")
    chosen = options.parse_args()
    print(HEAD)
    for transport in ("stdio", "http"):
        run = load(transport, in_flight=chosen.in_flight, hosts=chosen.hosts, seconds=chosen.seconds, warm=_WARM_CALLS)
        print(asyncio.run(run).row(f"{chosen.in_flight} over {transport}, {chosen.hosts} host(s)"), flush=True)


if __name__ == "__main__":
    main()
