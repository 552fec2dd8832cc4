"""Servers that work on rows beside their clients (`fleet.work`), and what they refuse."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Simulator
from tests.fleet.postgres import Postgres
from tests.fleet.running import batch, rows_of, simulated
from tests.fleet.workers import query, shared, until_alive
from tests.support import connected, data


@pytest.mark.slow
async def test_a_server_works_on_the_rows_that_another_gives_out_until_it_stops(
    tmp_path: Path, database_server: Postgres
) -> None:
    url = database_server.url()
    for name in ("home", "other"):
        (tmp_path / name).mkdir()
    async with simulated() as own, Simulator(version="latest") as simulator:
        settings = shared(tmp_path / "other", url)
        settings["fleet"] = {**settings["fleet"], "work": True}
        async with connected(simulator.url, **settings) as other:
            await until_alive(url, 1)
            async with batch(own, url, tmp_path / "home", rows=200) as running:
                assert (await running.ended())["done"] == 200
            assert not any(seen.path == "/api/chat" for seen in own.requests)
            # It answers its own clients beside that.
            assert data(await other.call_tool("ollama_status", {}))
        assert rows_of(tmp_path / "home" / "out.jsonl") == await running.alone()
        assert query(url, "SELECT count(*) FROM procrastinate_workers") == [(0,)]


@pytest.mark.long
async def test_what_a_server_has_begun_when_it_stops_goes_to_another(tmp_path: Path, database_server: Postgres) -> None:
    url = database_server.url()
    for name in ("home", "other"):
        (tmp_path / name).mkdir()
    async with simulated() as simulator:
        settings = shared(tmp_path / "other", url, lost_seconds=60)
        settings["fleet"]["work"] = True
        leave = asyncio.Event()

        async def first() -> None:
            async with connected(simulator.url, **settings):
                await leave.wait()

        serving = asyncio.create_task(first())
        await until_alive(url, 1)
        async with batch(simulator, url, tmp_path / "home", rows=300) as running:
            await running.until_kept(60)
            leave.set()
            await serving
            # Its requests are let go, and it has left the queue.
            assert not simulator.in_flight and query(url, "SELECT count(*) FROM procrastinate_workers") == [(0,)]
            async with connected(simulator.url, **settings):
                assert (await running.ended())["done"] == 300
        chats = [seen for seen in simulator.requests if seen.path == "/api/chat"]
        # What was asked of it was waited for and kept, but for the last moment.
        assert len(chats) <= 320


async def test_without_a_store_that_is_shared_it_does_not_start() -> None:
    with pytest.raises(InvalidArgument, match=r"store\.url"):
        OllamaServer(Settings.model_validate({"fleet": {"work": True}}))
