"""The HTTP transports as a process."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from urllib.parse import urlsplit

import pytest

from ollama_mcp.server.transports.binding import listen_tcp
from tests.transports.wire import ROOT, HttpPeer, StdioPeer, call, environment, sample


def listening(process: StdioPeer) -> HttpPeer:
    process.until("lifespan open")
    url = next(line.removeprefix("listening ") for line in iter(process.next_line, "") if line.startswith("listening "))
    return HttpPeer(urlsplit(url).port or 0)


@pytest.mark.parametrize("transport", ["http", "sse"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_calls_and_streams_cleanly(transport: str, number: signal.Signals) -> None:
    with StdioPeer(transport, "127.0.0.1", "0") as process:
        peer = listening(process)

        async def leave_open() -> None:
            if transport == "http":
                writer = await peer.begin(call(1, "slow", era="modern"), "modern")
                await asyncio.to_thread(process.until, "started")
            else:
                reader, writer = await peer.open("GET /sse HTTP/1.1\nHost: localhost\n")
                await reader.readuntil(b"\r\n\r\n")
            process.process.send_signal(number)
            process.process.send_signal(number)
            assert await asyncio.to_thread(process.wait) == 0
            writer.close()

        asyncio.run(leave_open())
        assert process.stderr[-1] == "lifespan closed"
        assert not [line for line in process.stderr if "Traceback" in line]


def test_an_address_beyond_loopback_stops_the_start_with_one_error() -> None:
    process = subprocess.run(
        [*sample(), "http", "0.0.0.0", "0"], cwd=ROOT, env=environment(), capture_output=True, check=False, timeout=30
    )
    assert process.returncode == 1
    assert b"NotAllowed: '0.0.0.0' is not a loopback address, and no client" in process.stderr.splitlines()[-1]


def test_a_port_in_use_stops_the_start_with_one_error() -> None:
    with listen_tcp("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        process = subprocess.run(
            [*sample(), "http", "127.0.0.1", str(port)], cwd=ROOT, env=environment(), capture_output=True, check=False
        )
    assert process.returncode == 1
    assert f"Port {port} on 127.0.0.1 is in use" in process.stderr.decode().splitlines()[-1]
    assert b"lifespan open" not in process.stderr
