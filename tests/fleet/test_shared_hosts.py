"""Processes with one database that use the same hosts: what they tell each other, and what follows from it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult

from ollama_mcp import __version__
from ollama_mcp.fleet import shared_hosts
from ollama_mcp.fleet.shared_hosts import Found, exchange
from ollama_mcp.simulator import Answer, Simulator
from ollama_mcp.store import Store
from ollama_mcp.store.host_views import HostView, Place, Process, withdraw
from ollama_mcp.store.postgres_state import state_of
from tests.fleet.postgres import Postgres
from tests.fleet.workers import query
from tests.support import connected, data, texts, until

pytestmark = pytest.mark.slow

MODEL = "llama3.2:3b"
LIMIT = 4
GPU = Place("gpu", "http://gpu:11434")


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes tell each other more often."""
    monkeypatch.setattr(shared_hosts, "PERIOD_SECONDS", 0.1)


@asynccontextmanager
async def server(url: str, ollama: str, **settings: Any) -> AsyncGenerator[Client]:
    """A server of this process, with at most four requests at a time for all."""
    given: dict[str, Any] = {
        "store": {"url": url},
        "limits": {"in_flight": LIMIT},
        "jobs": {"call_seconds": 3_600},
        **settings,
    }
    async with connected(ollama, **given) as client:
        yield client


async def known(client: Client, sent: int = 0, host: int = 0) -> None:
    """Wait until a server knows of another one that has so many requests in flight at a host."""
    deadline = time.monotonic() + 60
    while data(await client.call_tool("ollama_status", {}))["hosts"][host].get("others_in_flight") != sent:
        assert time.monotonic() < deadline, "not known in time"


def ask(client: Client, number: int, **arguments: Any) -> list[asyncio.Task[CallToolResult]]:
    """Make so many calls."""
    chat = {"model": MODEL, "prompt": "Hi", **arguments}
    return [asyncio.create_task(client.call_tool("ollama_chat", chat)) for _ in range(number)]


def at_work(simulator: Simulator) -> int:
    """How many chats an Ollama has."""
    return sum(request.path == "/api/chat" for request in simulator.in_flight)


def chats(simulator: Simulator) -> int:
    """How many chats an Ollama has got."""
    return sum(request.path == "/api/chat" for request in simulator.requests)


async def all_answered(*tasks: asyncio.Task[CallToolResult]) -> bool:
    """Whether all calls were answered well."""
    async with asyncio.timeout(60):
        return not any(result.is_error for result in await asyncio.gather(*tasks))


def held(simulator: Simulator, number: int) -> None:
    """Have the next answers wait, each until it is released by its number."""
    simulator.script(MODEL, *(Answer("held", hold=str(place)) for place in range(number)))


@pytest.mark.usefixtures("often")
async def test_two_that_are_flooded_keep_to_the_limit_together_and_one_that_is_left_has_all_of_it(
    database_server: Postgres,
) -> None:
    url = database_server.url()
    async with Simulator(version="latest", num_parallel=64) as simulator, AsyncExitStack() as ending:
        held(simulator, 24)
        first = await ending.enter_async_context(server(url, simulator.url))
        async with server(url, simulator.url) as second:
            await known(first)
            await known(second)
            alive = (await asyncio.to_thread(state_of, url)).alive
            assert [(one.program.split()[0], one.version) for one in alive] == [("server", __version__)] * 2
            # Who has nothing to do lends its part, and may send one request all the same.
            one = ask(first, 8)
            await until(lambda: at_work(simulator) == LIMIT, 60)
            other = ask(second, 8)
            await until(lambda: at_work(simulator) == LIMIT + 1, 60)
            await known(second, LIMIT)
            await known(first, 1)
            # No more, and the limit from the first end on: what is held stays in flight, so that one too many is seen.
            for place in range(10):
                simulator.release(str(place))
                so_far = place + 1 + LIMIT
                await until(lambda so_far=so_far: (chats(simulator), at_work(simulator)) == (so_far, LIMIT), 60)
            for place in range(10, 16):
                simulator.release(str(place))
            assert await all_answered(*one, *other)
        left = ask(first, 8)
        await until(lambda: at_work(simulator) == LIMIT, 60)
        for place in range(16, 24):
            simulator.release(str(place))
        assert await all_answered(*left)
    assert query(url, "SELECT count(*) FROM host_views") == [(0,)]


@pytest.mark.usefixtures("often")
async def test_a_call_goes_to_the_host_where_others_have_nothing_to_do(database_server: Postgres) -> None:
    url = database_server.url()
    async with (
        Simulator(version="latest", num_parallel=64) as busy,
        Simulator(version="latest", num_parallel=64) as free,
    ):
        hosts = {"busy": {"url": busy.url}, "free": {"url": free.url}}
        async with server(url, "", hosts=hosts) as first, server(url, "", hosts=hosts) as second:
            await known(second)
            held(busy, 3)
            # What is loaded there would be the reason to choose it, were it not for the work of the other.
            tasks = ask(first, 3, host="busy")
            await known(second, 3)
            shown = texts(await second.call_tool("ollama_status", {}))[0]
            assert "in flight 0 (of other processes 3)" in shown
            free.script(MODEL, Answer("from there"))
            assert texts(await second.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"}))[0] == "from there"
            for place in range(3):
                busy.release(str(place))
            assert await all_answered(*tasks)


@pytest.mark.usefixtures("often")
async def test_without_the_database_calls_go_on_and_the_whole_limit_comes_back(
    database_server: Postgres, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_hosts, "ALIVE_SECONDS", 1.0)
    monkeypatch.setattr("ollama_mcp.store.postgres._AWAY_SECONDS", 0.2)
    url = database_server.url()
    async with (
        Simulator(version="latest", num_parallel=64) as simulator,
        server(url, simulator.url) as first,
        server(url, simulator.url) as second,
    ):
        await known(first)
        await known(second)
        await asyncio.to_thread(database_server.stop, "immediate")
        try:
            held(simulator, 2 * LIMIT)
            tasks = ask(first, 2 * LIMIT)
            await until(lambda: at_work(simulator) == LIMIT, 60)
            for place in range(2 * LIMIT):
                simulator.release(str(place))
            assert await all_answered(*tasks)
            said = [record.getMessage() for record in caplog.records if "counts and estimates" in record.getMessage()]
            assert len(said) <= 2
        finally:
            await asyncio.to_thread(database_server.start)
        # Once it is back, they hear of each other again.
        await known(first)
        await known(second)


async def told(store: Store, process: str, limits: tuple[int, int], *views: tuple[Place, HostView]) -> Found:
    """What a process gets to know that tells these views."""
    given = {place: (view, limits) for place, view in views}
    return await store.database.run(partial(exchange, process=Process(process), told=given))


async def test_a_process_knows_the_views_of_those_that_are_alive_and_use_the_same_host(
    database_server: Postgres, tmp_path: Path
) -> None:
    url = database_server.url()
    store = Store(tmp_path / "s.sqlite3", url=url)
    name = 'odd "name" \0 \ud800'
    work = HostView({name: 3}, 2, seconds={name: 1.5}, answered={name: 0.5})
    try:
        ((part, others),) = (await told(store, "a", (8, 4), (GPU, work))).values()
        assert (part.in_flight, part.at_once, others) == (8, 4, [])
        elsewhere = Place("gpu", "http://other:11434")
        found = await told(store, "b", (8, 4), (Place("mine", GPU.host), HostView()), (elsewhere, HostView()))
        assert found[elsewhere][1] == [] and found[elsewhere][0].in_flight == 8
        ((part, others),) = [pair for place, pair in found.items() if place != elsewhere]
        # All of it is held by the other yet.
        assert (part.in_flight, part.at_once) == (1, 1)
        (seen,) = others
        assert (seen.process, seen.place, dict(seen.view.sent)) == ("a", GPU, {name: 3})
        assert seen.view.seconds == {name: 1.5} and seen.view.answered == {name: 0.5} and 0 <= seen.age < 60
        ((part, _),) = (await told(store, "a", (8, 4), (GPU, work))).values()
        assert (part.in_flight, part.at_once) == (7, 4)
        # Two names of one host are as two processes.
        for others_known in ([2, 3], [3, 3]):
            twice = await told(store, "c", (8, 4), (GPU, HostView()), (Place("again", GPU.host), HostView()))
            assert [len(others) for _, others in twice.values()] == others_known
        query(url, "UPDATE host_views SET seen_at = seen_at - interval '11 s' WHERE process = 'b'")
        await store.database.run(partial(withdraw, process="c"))
        ((part, others),) = (await told(store, "a", (8, 4), (GPU, work))).values()
        assert (part.in_flight, part.at_once, others) == (8, 4, [])
        assert query(url, "SELECT process FROM host_views") == [("a",)]
        assert query(url, "SELECT relpersistence::text FROM pg_class WHERE relname = 'host_views'") == [("u",)]
    finally:
        await store.aclose()
