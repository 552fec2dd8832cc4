"""Requests to real servers for `bench.fleet`: cancellations at another replica, and calls beside a batch."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from mcp import Client

from bench.clients import running
from ollama_mcp.simulator import Fault, Simulator
from tests.fleet.pgbouncer import pgbouncer
from tests.fleet.postgres import Postgres
from tests.fleet.replicas import replicas
from tests.fleet.workers import until_alive, worker
from tests.jobs.support import JOB, job_of
from tests.support import until

SIMULATED = "llama3.2:3b"
# What two hosts do at a time, and all of it is taken by bulk work.
SLOTS, SECONDS = 8, 0.1
# Rows that all take as long begin and end in step, so that a call waits for as long as a row, or half of it on average;
# where some take up to half as long less or more, as answers of a model do, there is a slot every few milliseconds.
SPREADS = {"all of 100 ms": 0.0, "of 50 to 150 ms": 0.5}


async def cancellations(server: Postgres, folder: Path, options: argparse.Namespace) -> None:
    """From the call at one replica until the host is let go, of a batch that another gave to a worker."""
    for name, number in (("by LISTEN", options.cancels), ("by polling", max(1, options.cancels // 10))):
        place = folder / name.replace(" ", "-")
        place.mkdir()
        url = server.url()
        with nullcontext(url) if name == "by LISTEN" else pgbouncer(server, url) as address:
            times, calls = await _cancelled(address, place, number)
        print(f"{number} cancellations {name}: {_shown(times)}; calls there: {_shown(calls)}", flush=True)


async def _cancelled(url: str, folder: Path, number: int) -> tuple[list[float], list[float]]:
    """Seconds of cancellations, and of plain calls just before them at the same replica."""
    taken, calls = list[float](), list[float]()
    hang = Fault("hang", path="/api/chat")
    async with (
        Simulator(version="latest", num_parallel=64, faults=[hang]) as simulator,
        replicas(simulator.url, url, folder, ("ann",), 2) as two,
        worker(simulator.url, url, "--lanes", "16", lost_seconds=15),
        two.client("ann", 0) as home,
        two.client("ann", 1) as other,
    ):
        await until_alive(url, 1)
        for n in range(number):
            texts = [f"text {n} {row}" for row in range(40)]
            job = job_of(await home.call_tool("ollama_batch", _batch(SIMULATED, texts, f"{n}.jsonl")))
            await until(lambda: len(simulator.in_flight) == 16, 60)
            begin = time.perf_counter()
            await other.call_tool(JOB, {"action": "list"})
            calls.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            ending = asyncio.create_task(other.call_tool(JOB, {"action": "cancel", "id": job}))
            await until(lambda: not simulator.in_flight, 60)
            taken.append(time.perf_counter() - begin)
            await ending
    return taken, calls


async def calls_beside_bulk(server: Postgres, folder: Path, options: argparse.Namespace) -> None:
    """What a call waits at a replica while workers have taken all that the hosts do at a time.

    A call is sent at once, and has the next slot that a row leaves: no row is sent that would wait at the host before
    it. Of its time that of the same call alone is taken off.
    """
    for name, spread in SPREADS.items():
        place = folder / f"{spread}"
        place.mkdir()
        await _calls_beside_bulk(server, place, options, name, spread)


async def _calls_beside_bulk(
    server: Postgres, folder: Path, options: argparse.Namespace, name: str, spread: float
) -> None:
    url = server.url()
    with _hosts(2, spread) as hosts:
        given: Any = {"hosts": {f"host{n}": {"url": host} for n, host in enumerate(hosts)}}
        async with (
            replicas(hosts[0], url, folder, ("ann",), 2, **given) as two,
            two.client("ann", 0) as ann,
            two.client("ann", 1) as home,
        ):
            # What a process loads with its first call is not of it.
            await _calls(ann, 1)
            alone = await _calls(ann, options.calls)
            async with (
                worker(hosts[0], url, "--lanes", str(SLOTS), lost_seconds=15, **given),
                worker(hosts[0], url, "--lanes", str(SLOTS), lost_seconds=15, **given),
            ):
                await until_alive(url, 2)
                texts = [f"text {row}" for row in range(300 * options.calls)]
                job = job_of(await home.call_tool("ollama_batch", _batch("m", texts, "bulk.jsonl")))
                await asyncio.sleep(3)
                beside = await _calls(ann, options.calls)
                seen = await home.call_tool(JOB, {"action": "status", "id": job})
                assert '"running"' in json.dumps(seen.structured_content), "the batch has ended before the calls"
                await home.call_tool(JOB, {"action": "cancel", "id": job})
    waits = [max(0.0, one - usual) for one, usual in zip(beside, alone, strict=True)]
    print(
        f"{options.calls} calls beside rows {name} on all slots of two hosts: wait {_shown(waits)}; calls alone: "
        f"{_shown(alone)}",
        flush=True,
    )


def _batch(model: str, texts: list[str], output: str) -> dict[str, Any]:
    return {"model": model, "input": texts, "prompt": "Say {text}", "output": output, "background": True}


@contextmanager
def _hosts(number: int, spread: float) -> Generator[list[str]]:
    with ExitStack() as stack:
        options = ("--seconds", str(SECONDS), "--slots", str(SLOTS), "--spread", str(spread))
        yield [stack.enter_context(running("bench.fake_ollama", *options)) for _ in range(number)]


async def _calls(client: Client, number: int) -> list[float]:
    taken: list[float] = []
    for n in range(number):
        begin = time.perf_counter()
        result = await client.call_tool("ollama_chat", {"model": "m", "prompt": f"Hi {n}"})
        taken.append(time.perf_counter() - begin)
        assert not result.is_error, result
    return taken


def _shown(times: Sequence[float]) -> str:
    """Times as their median, p99 and largest."""
    times = sorted(times)
    p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
    return f"p50 {1000 * statistics.median(times):.0f} ms, p99 {1000 * p99:.0f}, largest {1000 * times[-1]:.0f}"
