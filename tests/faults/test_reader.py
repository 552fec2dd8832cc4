"""A client that stops reading holds back Ollama, and not this server's memory."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.faults.proxy import FaultProxy, PortKeeper
from tests.faults.rig import MODEL
from tests.support import until
from tests.transports.wire import INITIALIZED, ROOT, Message, as_line, call, environment, initialize, request

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what processes hold is counted in /proc")

CALLS = 2
# 36 MB for each call, over some seconds: far more than the kernel holds of two connections, and than what comes
# between two notifications, which are what waits for the client.
PIECES = [f"{number:05} ".ljust(40_000, "x") for number in range(900)]
MB = 1 << 20


def start(url: str, stdin: int, stdout: int) -> subprocess.Popen[bytes]:
    # On a busy machine a call takes longer than this client would wait for; it is not to be handed over as a job.
    settings = ("--set", "store.path=:memory:", "--set", "jobs.call_seconds=900")
    return subprocess.Popen(
        [sys.executable, "-m", "ollama_mcp", "--ollama", url, *settings],
        cwd=ROOT,
        env=environment(),
        stdin=stdin,
        stdout=stdout,
    )


def resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def with_progress(number: int) -> Message:
    message = call(number, "ollama_generate", model=MODEL, prompt="Hi")
    message["params"]["_meta"] = {"progressToken": f"p{number}"}
    return message


@pytest.mark.slow
async def test_a_client_that_stops_reading_holds_back_ollama() -> None:
    port = PortKeeper()
    async with Simulator(version="latest", num_parallel=CALLS) as simulator, FaultProxy(port) as proxy:
        proxy.upstream = simulator.url
        simulator.script(MODEL, *[Answer(text=PIECES, delay=0.002, hold="gate", hold_after=1)] * CALLS)
        stdin, stdout = os.pipe(), os.pipe()
        process = start(port.url, stdin[0], stdout[1])
        os.close(stdin[0])
        os.close(stdout[1])
        asked = [with_progress(number) for number in range(1, CALLS + 1)]
        os.write(stdin[1], b"".join(map(as_line, [initialize(), INITIALIZED, *asked])))
        await until(lambda: proxy.returned >= CALLS * 40_000, 30)
        # Answers that nobody reads fill the pipe.
        os.write(stdin[1], b"".join(as_line(request(100 + number, "tools/list")) for number in range(8)))
        before = resident(process.pid)
        simulator.release("gate")
        await quiet(proxy)
        assert proxy.returned < len(PIECES) * 40_000 * CALLS * 2 // 3
        assert resident(process.pid) - before < 20 * MB
        assert len(simulator.in_flight) == CALLS
        # The client reads again: nothing was lost.
        answered = asyncio.create_task(asyncio.to_thread(read_answers, stdout[0]))
        assert await answered == set(range(CALLS + 1)) | set(range(100, 108))
        assert proxy.returned > len(PIECES) * 40_000 * CALLS
        os.close(stdin[1])
        assert await asyncio.to_thread(process.wait, 20) == 0
    port.close()


async def quiet(proxy: FaultProxy, seconds: float = 2.0) -> None:
    """Wait until no byte has come back for some time."""
    last, since = -1, time.monotonic()

    def changed() -> bool:
        nonlocal last, since
        if proxy.returned != last:
            last, since = proxy.returned, time.monotonic()
        return time.monotonic() - since >= seconds

    await until(changed, 40)


def read_answers(stdout: int) -> set[int]:
    """The ids of all answers until every call has one."""
    seen: set[int] = set()
    with os.fdopen(stdout, "rb") as lines:
        for line in lines:
            message = json.loads(line)
            if "id" in message:
                seen.add(message["id"])
            if {*range(CALLS + 1), *range(100, 108)} <= seen:
                break
    return seen
