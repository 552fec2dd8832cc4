"""A cancelled call is freed wherever it is: Ollama sees its client leave, nothing is answered, nothing is left."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.upload import write_model
from bench.upload_sink import UploadSink
from ollama_mcp.simulator import Answer, Fault, Latency
from tests.faults.rig import MODEL, WORDS, Rig, Server, Transport, disconnected, in_flight, rigged
from tests.support import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what processes hold is counted in /proc")

CALLS = 200


async def queued(rig: Rig) -> int:
    """A call behind another one of the same model."""
    rig.script(Answer(text=WORDS, hold="gate"))
    await rig.begin()
    await in_flight(rig)
    number = await rig.begin()
    await in_flight(rig, count=2)
    return number


async def loading(rig: Rig) -> int:
    """A call whose model is being loaded."""
    rig.simulator.faults.add(Fault("hang", "/api/generate"))
    number = await rig.begin()
    await in_flight(rig)
    return number


async def streaming(rig: Rig) -> int:
    """A call whose answer has begun."""
    rig.script(Answer(text=WORDS, hold="gate", hold_after=9))
    before = rig.proxy.returned
    number = await rig.begin()
    await in_flight(rig)
    await until(lambda: rig.proxy.returned > before + 500, 20)
    return number


async def pulling(rig: Rig) -> int:
    """A pull on its way."""
    rig.simulator.machine.latency = Latency(transfer=1e6)
    number = await rig.begin("ollama_pull_model", model="all-minilm")
    await in_flight(rig, "/api/pull")
    return number


PATHS: dict[Callable[[Rig], Awaitable[int]], str] = {
    queued: "/api/generate",
    loading: "/api/generate",
    streaming: "/api/generate",
    pulling: "/api/pull",
}


@asynccontextmanager
async def running(transport: Transport, folder: Path) -> AsyncGenerator[Rig]:
    server = Server(transport, {"read.upload_folders": [str(folder)]})
    try:
        async with rigged(server, folder) as rig:
            yield rig
    finally:
        await asyncio.to_thread(server.close)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_cancelled_call_is_freed_wherever_it_is(transport: Transport, tmp_path: Path) -> None:
    async with running(transport, tmp_path) as rig:
        for begin, path in PATHS.items():
            await rig.works()
            before = await rig.server.least_counts()
            rig.simulator.log.clear()
            number = await begin(rig)
            await rig.server.cancel(number)
            await disconnected(rig, path)
            rig.simulator.release("gate")
            rig.simulator.machine.latency = Latency()
            await rig.works()
            await rig.settled(before)


@pytest.mark.slow
async def test_a_cancelled_wait_between_two_tries_ends_at_once(tmp_path: Path) -> None:
    """A pull whose connection was lost waits before it goes on; nothing is asked after its cancel."""
    async with running("stdio", tmp_path) as rig:
        await rig.works()
        rig.simulator.registry.stalled = True
        rig.simulator.faults.add(Fault("cut", "/api/pull", after=2))
        number = await rig.begin("ollama_pull_model", model="all-minilm")
        await until(lambda: rig.sent("/api/pull") == 2 and not rig.simulator.in_flight, 20)
        await rig.server.cancel(number)
        await rig.works()
        assert rig.sent("/api/pull") == 2


@pytest.mark.slow
async def test_a_cancelled_upload_is_freed(tmp_path: Path) -> None:
    path = tmp_path / "large.gguf"
    write_model(path, 64 << 20)
    async with UploadSink() as sink:
        sink.pause = 0.05
        server = Server("stdio", {"host": sink.url, "read.upload_folders": [str(tmp_path)]})
        await server.open()
        number = await server.begin("ollama_create_model", model="mine", path=str(path))
        await until(lambda: sink.received, 20)
        await server.cancel(number)
        await until(lambda: sink.broken)
        assert not sink.digests
        await asyncio.to_thread(server.close)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_each_of_two_hundred_is_freed_by_its_own_cancel(transport: Transport, tmp_path: Path) -> None:
    """With 200 in flight, of which Ollama works on 20 and queues the others."""
    server = Server(transport)
    async with rigged(server, tmp_path, num_parallel=20) as rig:
        await rig.works()
        before = await server.least_counts()
        rig.simulator.log.clear()
        rig.simulator.scripts.clear()
        rig.simulator.script(MODEL, *[Answer(text="never", hold=asyncio.Event())] * CALLS)
        numbers = [await rig.begin() for _ in range(CALLS)]
        await in_flight(rig, count=CALLS)
        for count, number in enumerate(reversed(numbers), start=1):
            await server.cancel(number)
            await disconnected(rig, count=count)
            assert len(rig.simulator.in_flight) == CALLS - count
        await rig.works()
        await rig.settled(before)
    await asyncio.to_thread(server.close)
