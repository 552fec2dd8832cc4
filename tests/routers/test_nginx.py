"""The fault table and what a router adds to it, with nginx between the server and Ollama."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.faults.proxy import PortKeeper
from tests.faults.rig import Server
from tests.faults.rows import ROWS, Row
from tests.faults.test_rows import reading, run
from tests.routers.nginx import STREAMING, USUAL, nginx
from tests.support import connected, data, error, text, texts, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="what processes hold is counted in /proc"),
]
MODEL = "llama3.2:3b"
CONFIGS = {"usual": USUAL, "streaming": STREAMING}
# Connections that nobody uses are closed at once, so that those left over can be counted.
_SHORT_LIVED = "keepalive_timeout 200ms; client_max_body_size 0;"
_BAD_GATEWAY: dict[str, Any] = {"kind": "unreachable", "says": ("nginx", "502")}
# What is another fault behind nginx: it answers for an Ollama that does not.
CHANGED: dict[str, dict[str, Any]] = {"F01": _BAD_GATEWAY, "F08": _BAD_GATEWAY, "F10": _BAD_GATEWAY}
# Rows that need to see a request arrive while it is sent: nginx takes all of it first.
UNBUFFERED = {"F42"}


@dataclass
class Routed:
    """A server whose Ollama is behind nginx, and a folder that it may read."""

    config: str
    server: Server
    folder: Path


@pytest.fixture(scope="module", params=CONFIGS)
def routed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Routed]:
    """The server that the rows share, one for each configuration of nginx."""
    folder = tmp_path_factory.mktemp("nginx")
    port = PortKeeper()
    server = Server("stdio", {**reading(folder), "host": port.url, "timeouts.idle": 1.0})
    try:
        with nginx(folder, server.port.url, CONFIGS[request.param] + _SHORT_LIVED, port):
            yield Routed(request.param, server, folder)
    finally:
        server.close()


@pytest.mark.parametrize("row", [row for row in ROWS if not (row.settings or row.prefix)], ids=lambda row: row.id)
async def test_row(row: Row, routed: Routed) -> None:
    if row.id in UNBUFFERED and routed.config != "streaming":
        pytest.skip("nginx has the whole request before Ollama has any of it")
    await run(replace(row, **CHANGED.get(row.id, {})), routed.server, routed.folder)


async def test_a_request_over_the_limit_names_the_setting_that_lifts_it(simulator: Simulator, tmp_path: Path) -> None:
    with nginx(tmp_path, simulator.url, "client_max_body_size 8k;") as url:
        async with connected(url) as client:
            long = {"model": MODEL, "prompt": "word " * 4_000, "options": {"num_ctx": 32_768}}
            said = error(await client.call_tool("ollama_chat", long), "invalid_argument")
            assert "nginx" in said and "client_max_body_size" in said
            assert not [one for one in simulator.requests if one.path == "/api/chat"]
            assert not (await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})).is_error


@pytest.mark.parametrize("config", CONFIGS)
async def test_a_model_that_is_slower_than_the_routers_limit(simulator: Simulator, tmp_path: Path, config: str) -> None:
    call = {"model": MODEL, "prompt": "Hi"}
    with nginx(tmp_path, simulator.url, f"{CONFIGS[config]} proxy_read_timeout 300ms;") as url:
        async with connected(url) as client:
            simulator.script(MODEL, Answer("late", hold=asyncio.Event()))
            said = error(await client.call_tool("ollama_chat", call), "timeout")
            assert "nginx" in said and "proxy_read_timeout" in said
            simulator.script(MODEL, Answer(["One ", "two ", "three"], hold=asyncio.Event(), hold_after=2))
            cut = await client.call_tool("ollama_chat", call)
            error(cut, "interrupted")
            assert texts(cut)[1] == "One two "
            await until(lambda: not simulator.in_flight)
            simulator.script(MODEL, Answer("in time"))
            assert text(await client.call_tool("ollama_chat", call)) == "in time"


async def test_a_router_without_its_ollama_sends_the_call_to_another_host(tmp_path: Path) -> None:
    async with Simulator(version="latest") as near, Simulator(version="latest") as far:
        with nginx(tmp_path, far.url) as url:
            hosts = {"far": {"url": url}, "near": {"url": near.url}}
            async with connected("", hosts=hosts, autostart=False) as client:
                call = {"model": MODEL, "prompt": "Hi"}
                # Loaded there, so that it is the first to be asked.
                assert not (await client.call_tool("ollama_chat", {**call, "host": "far"})).is_error
                await far.stop()
                near.script(MODEL, *[Answer("from near")] * 8)
                for _ in range(8):
                    assert "from near" in texts(await client.call_tool("ollama_chat", call))[0]
                said = error(await client.call_tool("ollama_chat", {**call, "host": "far"}), "unreachable")
                assert "502" in said
                shown = {host["name"]: host for host in data(await client.call_tool("ollama_status", {}))["hosts"]}
                assert not shown["far"]["reachable"] and shown["near"]["reachable"]


async def test_calls_that_meet_the_end_of_an_idle_connection_all_work(simulator: Simulator, tmp_path: Path) -> None:
    with nginx(tmp_path, simulator.url, "keepalive_timeout 50ms;") as url:
        async with connected(url) as client:
            for number in range(40):
                assert not (await client.call_tool("ollama_chat", {"model": MODEL, "prompt": f"{number}"})).is_error
                # Around the moment at which nginx closes the connection, before it and after.
                await asyncio.sleep(0.045 + number / 4_000)
