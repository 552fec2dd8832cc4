"""How a server ends: calls in flight are closed at Ollama, nothing is left running, and nothing is printed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.upload import write_model
from bench.upload_sink import UploadSink
from ollama_mcp.simulator import Answer, Latency, Simulator
from tests.faults.rig import MODEL, Server, Transport
from tests.support import until
from tests.transports.wire import INITIALIZED, ROOT, as_line, call, environment, initialize

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what processes hold is counted in /proc")
CALLS = 20
_PROMPT = {"model": MODEL, "prompt": "Hi"}


def signalled(*numbers: signal.Signals) -> Callable[[Server], None]:
    def send(server: Server) -> None:
        for number in numbers:
            server.process.process.send_signal(number)

    return send


def close_stdin(server: Server) -> None:
    server.process.close_stdin()


ENDS: dict[str, Callable[[Server], None]] = {
    "SIGTERM": signalled(signal.SIGTERM),
    "SIGINT": signalled(signal.SIGINT),
    "SIGINT twice": signalled(signal.SIGINT, signal.SIGINT),
    "SIGHUP": signalled(signal.SIGHUP),
    "closed stdin": close_stdin,
}
CASES: list[tuple[Transport, str]] = [
    *(("stdio", name) for name in ENDS),
    *(("http", name) for name in ENDS if name.startswith("SIG")),
]


def ended(server: Server) -> int:
    """The exit code, once the process has ended and printed nothing that looks like a crash."""
    code = server.process.wait()
    server.process.__exit__()
    server.port.close()
    assert not [line for line in server.process.stderr if "Traceback" in line], server.process.stderr
    return code


def disconnected(simulator: Simulator, path: str = "/api/generate") -> int:
    return sum(one.request.path == path for one in simulator.disconnects)


@pytest.mark.parametrize(("transport", "end"), CASES)
@pytest.mark.slow
async def test_the_end_closes_what_is_in_flight(transport: Transport, end: str) -> None:
    async with Simulator(version="latest", num_parallel=CALLS) as simulator:
        simulator.script(MODEL, *[Answer(text="never", hold=asyncio.Event())] * CALLS)
        server = Server(transport, {"host": simulator.url})
        await server.open()
        for _ in range(CALLS):
            await server.begin("ollama_generate", **_PROMPT)
        await until(lambda: len(simulator.in_flight) == CALLS, 20)
        ENDS[end](server)
        assert await asyncio.to_thread(ended, server) == 0
        await until(lambda: disconnected(simulator) == CALLS)
        assert not simulator.in_flight


class Pipes:
    """A server whose pipes the test closes itself."""

    def __init__(self, url: str, *prefix: str) -> None:
        self.stdin, self.stdout = os.pipe(), os.pipe()
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "ollama_mcp", "--ollama", url, "--set", "store.path=:memory:"],
            cwd=ROOT,
            env=environment(),
            stdin=self.stdin[0],
            stdout=self.stdout[1],
            stderr=subprocess.PIPE,
        )
        os.close(self.stdin[0])
        os.close(self.stdout[1])
        calls = [call(number, "ollama_generate", **_PROMPT) for number in range(1, CALLS + 1)]
        os.write(self.stdin[1], b"".join(map(as_line, [initialize(), INITIALIZED, *calls])))

    def end(self) -> tuple[int, bytes]:
        """Exit code and stderr."""
        assert self.process.stderr is not None
        printed = self.process.stderr.read()
        self.process.stderr.close()
        return self.process.wait(20), printed


@pytest.mark.slow
async def test_closed_stdout_ends_it_like_closed_stdin() -> None:
    async with Simulator(version="latest", num_parallel=CALLS) as simulator:
        simulator.script(MODEL, *[Answer(text="never", hold=asyncio.Event())] * CALLS)
        server = await asyncio.to_thread(Pipes, simulator.url)
        await until(lambda: len(simulator.in_flight) == CALLS, 20)
        os.close(server.stdout[0])
        assert await asyncio.to_thread(server.end) == (0, b"")
        os.close(server.stdin[1])
        await until(lambda: disconnected(simulator) == CALLS)


# Starts the server as a host application does, tells its process id, and waits.
HOST = """
import subprocess, sys, time
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
server.stdin.write(open(sys.argv[1], "rb").read())
server.stdin.flush()
print(server.pid, flush=True)
time.sleep(600)
"""


def start_host(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", HOST, *arguments], cwd=ROOT, env=environment(), stdout=subprocess.PIPE
    )


@pytest.mark.slow
async def test_a_host_application_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    calls = [call(number, "ollama_generate", **_PROMPT) for number in range(1, CALLS + 1)]
    (tmp_path / "lines").write_bytes(b"".join(map(as_line, [initialize(), INITIALIZED, *calls])))
    async with Simulator(version="latest", num_parallel=CALLS) as simulator:
        simulator.script(MODEL, *[Answer(text="never", hold=asyncio.Event())] * CALLS)
        command = [sys.executable, "-m", "ollama_mcp", "--ollama", simulator.url, "--set", "store.path=:memory:"]
        host = start_host([str(tmp_path / "lines"), *command])
        assert host.stdout is not None
        server = int(await asyncio.to_thread(host.stdout.readline))
        await until(lambda: len(simulator.in_flight) == CALLS, 20)
        host.kill()
        host.wait()
        host.stdout.close()
        await until(lambda: disconnected(simulator) == CALLS)
        await until(lambda: has_ended(server), 10)


def has_ended(process: int) -> bool:
    """Whether a process that is nobody's child here has ended; a zombie has."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_pull_goes_on_where_the_ended_server_left_it(transport: Transport) -> None:
    pull = {"model": "all-minilm"}
    async with Simulator(version="latest", latency=Latency(transfer=2e7)) as simulator:
        server = Server(transport, {"host": simulator.url})
        await server.open()
        await server.begin("ollama_pull_model", **pull)
        await until(lambda: any(one.completed for one in simulator.machine.downloads.partial.values()), 20)
        server.process.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(ended, server) == 0
        await until(lambda: disconnected(simulator, "/api/pull") == 1)
        (partial,) = simulator.machine.downloads.partial.values()
        kept = partial.completed
        assert kept and partial.task is None
        simulator.machine.latency = Latency()
        server = Server(transport, {"host": simulator.url})
        await server.open()
        assert not (await server.ask("ollama_pull_model", **pull)).kind
        assert partial.completed > kept
        await asyncio.to_thread(server.close)


@pytest.mark.slow
async def test_an_upload_is_closed_and_the_next_server_sends_it(tmp_path: Path) -> None:
    path = tmp_path / "large.gguf"
    write_model(path, 64 << 20)
    create = {"model": "mine", "path": str(path)}
    async with UploadSink() as sink:
        settings = {"host": sink.url, "read.upload_folders": [str(tmp_path)]}
        sink.pause = 0.05
        server = Server("stdio", settings)
        await server.open()
        await server.begin("ollama_create_model", **create)
        await until(lambda: sink.received, 20)
        server.process.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(ended, server) == 0
        await until(lambda: sink.broken)
        assert not sink.digests
        sink.pause = 0.0
        server = Server("stdio", settings)
        await server.open()
        assert not (await server.ask("ollama_create_model", **create)).kind
        assert sink.digests
        await asyncio.to_thread(server.close)


HANGING_TOOLS = """
import asyncio
import sys
import time

from ollama_mcp import READS, Call, tool


def sleep():
    print("hangs", file=sys.stderr, flush=True)
    time.sleep(60)


@tool(title="Deaf", toolset="system", hints=READS)
async def deaf(call: Call) -> str:
    \"\"\"Swallow every cancellation.\"\"\"
    print("hangs", file=sys.stderr, flush=True)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass


@tool(title="Thread", toolset="system", hints=READS)
async def thread(call: Call) -> str:
    \"\"\"Wait for a thread that does not return.\"\"\"
    await asyncio.to_thread(sleep)
    return ""


@tool(title="Blocking", toolset="system", hints=READS)
async def blocking(call: Call) -> str:
    \"\"\"Block the event loop.\"\"\"
    sleep()
    return ""
"""


@pytest.mark.slow
async def test_whatever_hangs_the_process_ends_by_force(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(HANGING_TOOLS)

    cases: list[tuple[Transport, str, str]] = [
        ("stdio", "deaf", "SIGTERM"),
        ("stdio", "thread", "SIGTERM"),
        ("stdio", "blocking", "SIGTERM"),
        ("stdio", "blocking", "closed stdin"),
        ("http", "blocking", "SIGTERM"),
    ]
    servers = [Server(transport, {"tools.folders": [str(tmp_path)]}) for transport, _, _ in cases]
    for server, (_, tool, _) in zip(servers, cases, strict=True):
        await server.open()
        await server.begin(tool)
        await asyncio.to_thread(server.process.until, "hangs")
    for server, (_, _, end) in zip(servers, cases, strict=True):
        ENDS[end](server)
    for server, case in zip(servers, cases, strict=True):
        assert await asyncio.to_thread(server.process.wait) == 1, case
        await asyncio.to_thread(server.process.__exit__)
        server.port.close()
        assert "ended by force" in server.process.stderr[-1], case
