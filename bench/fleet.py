"""Batches on workers beside a plain loop, and what a fleet promises of time and memory; Linux.

    python -m bench.fleet [--rows 20000] [--rounds 3] [--only speed,shares,...] [--largest 1000000]

Starts a PostgreSQL of its own in a temporary folder, and stops it. Rows sleep for 2 to 20 ms in place of a request, 32
at a time in each worker and in the loop, which keeps its rows in the same PostgreSQL too, 64 at a time or after half a
second: two cores cannot answer so many over HTTP (`bench.fleet_rows`). Loop and workers take turns, and the ratio is
the median of the rounds' ratios. Cancellations and calls are real requests (`bench.fleet_calls`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from bench.clients import ROOT, Process, running
from bench.fleet_calls import calls_beside_bulk, cancellations
from bench.fleet_rows import LANES
from bench.server import over_stdio
from tests.cli.support import environment
from tests.fleet.postgres import Postgres, postgres
from tests.fleet.workers import WorkerProcess, query, until_alive

MODEL = "m"
LOST_SECONDS = 3.0
_NUMBERS = count(1)
_KEPT = "SELECT run, sum(kept)::bigint FROM ranges GROUP BY run ORDER BY run"


@dataclass(frozen=True)
class Place:
    """Where all of a figure happens.

    Args:
        server: The PostgreSQL.
        url: Its database.
        ollama: An Ollama, which is asked about its model only.
        folder: A folder for files.
        sleep: The shortest and the longest milliseconds of a row.
    """

    server: Postgres
    url: str
    ollama: str
    folder: Path
    sleep: str

    def lines(self, rows: int) -> Path:
        """A file with so many rows."""
        path = self.folder / f"{rows}.jsonl"
        if not path.exists():
            with path.open("w", encoding="utf-8") as stream:
                stream.writelines(json.dumps({"text": f"a sentence with the number {n}"}) + "\n" for n in range(rows))
        return path

    def output(self) -> Path:
        """A file that is not there."""
        return self.folder / f"out-{next(_NUMBERS)}.jsonl"

    @asynccontextmanager
    async def worker(self) -> AsyncGenerator[WorkerProcess]:
        """A worker whose rows sleep."""
        options = ("--set", f"store.url={self.url}", "--set", f"fleet.lost_seconds={LOST_SECONDS}")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.fleet_rows", "worker", *options, "--lanes", str(LANES)),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=environment(OLLAMA_HOST=self.ollama, BENCH_SLEEP=self.sleep),
            cwd=ROOT,
        )
        one = WorkerProcess(process)
        try:
            await asyncio.wait_for(one.ready.wait(), 60)
            yield one
        finally:
            if process.returncode is None:
                process.terminate()
            await one.ended()

    @asynccontextmanager
    async def home(self) -> AsyncGenerator[Process]:
        """A server that gives rows out."""
        settings: dict[str, Any] = {
            "store.url": self.url,
            "fleet.lost_seconds": LOST_SECONDS,
            "read.text_folders": [str(self.folder)],
            "write.folders": [str(self.folder)],
            # The call must not become a job, so that its end can be measured.
            "jobs.call_seconds": 86_400,
        }
        options = " ".join(f"--set {shlex.quote(f'{name}={json.dumps(value)}')}" for name, value in settings.items())
        command = shlex.split(f"{sys.executable} {ROOT / 'ollama_mcp_server.py'} {options}")
        async with over_stdio(command, self.ollama) as server:
            yield server

    async def batch(self, home: Process, rows: int, prompt: str = "Say it: {text}") -> float:
        """Have rows worked on by the workers; gives the seconds."""
        output = self.output()
        begin = time.perf_counter()
        arguments = {"input": [str(self.lines(rows))], "model": MODEL, "prompt": prompt, "output": str(output)}
        report = (await home.ask("tools/call", {"name": "ollama_batch", "arguments": arguments}))["structuredContent"]
        taken = time.perf_counter() - begin
        assert (report["done"], report["failed"]) == (rows, 0), report
        output.unlink()
        return taken

    async def until(self, statement: str, true: Callable[[int], bool]) -> None:
        """Wait until the number that a statement gives is as wanted."""
        async with asyncio.timeout(60):
            while not true((await asyncio.to_thread(query, self.url, statement))[0][0]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def loop(self, rows: int) -> float:
        """The same with the plain loop, in a process of its own."""
        output = self.output()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.fleet_rows", "loop", self.url, str(self.lines(rows)), str(output)),
            stdout=asyncio.subprocess.PIPE,
            env=environment(BENCH_SLEEP=self.sleep),
            cwd=ROOT,
        )
        said = (await process.communicate())[0]
        assert sum(1 for _ in output.open("rb")) == rows
        output.unlink()
        return float(said)


async def speed(place: Place, options: argparse.Namespace) -> None:
    """Rows a second of the loop, of one worker and of two."""
    rows: int = options.rows
    loop: list[float] = []
    workers: tuple[list[float], list[float]] = [], []
    for _ in range(options.rounds):
        loop.append(rows / await place.loop(rows))
        async with place.home() as home, AsyncExitStack() as stack:
            for number, rates in enumerate(workers, start=1):
                await stack.enter_async_context(place.worker())
                await until_alive(place.url, number)
                # What a process loads with its first batch is not of it.
                await place.batch(home, 200)
                rates.append(rows / await place.batch(home, rows))
    for name, rates in zip(("one worker", "two workers"), workers, strict=True):
        ratio = statistics.median(ours / plain for ours, plain in zip(rates, loop, strict=True))
        print(
            f"{rows:,} rows of 2 to 20 ms: loop {statistics.median(loop):,.0f} rows/s, "
            f"{name} {statistics.median(rates):,.0f}, {ratio:.2f} times",
            flush=True,
        )


async def shares(place: Place, options: argparse.Namespace) -> None:
    """How many rows of each of two runs are done while both run, the second begun when the first was under way."""
    rows: int = options.rows // 2
    async with place.home() as home, place.worker():
        await until_alive(place.url, 1)
        first = asyncio.create_task(place.batch(home, rows, "First: {text}"))
        await place.until("SELECT coalesce(sum(kept), 0) FROM ranges", lambda kept: kept >= rows // 10)
        second = asyncio.create_task(place.batch(home, rows, "Second: {text}"))
        began: dict[int, int] = {}
        seen: dict[int, int] = {}
        while not (first.done() or second.done()):
            kept = dict(await asyncio.to_thread(query, place.url, _KEPT))
            if len(kept) == 2:
                began, seen = began or kept, kept
            await asyncio.sleep(0.05)
        await asyncio.gather(first, second)
    counts = sorted(seen[run] - began[run] for run in seen)
    print(
        f"two runs at once, the second begun later: {counts[0]:,} and {counts[1]:,} rows while both ran, "
        f"{100 * counts[0] / sum(counts):.0f}:{100 * counts[1] / sum(counts):.0f}",
        flush=True,
    )


async def takeover(place: Place, options: argparse.Namespace) -> None:
    """Seconds from the death of a worker until another one has its ranges."""
    taken: list[float] = []
    for _ in range(options.rounds):
        async with place.home() as home, place.worker() as one, AsyncExitStack() as stack:
            await until_alive(place.url, 1)
            running = asyncio.create_task(place.batch(home, options.rows))
            await place.until("SELECT coalesce(sum(kept), 0) FROM ranges", bool)
            other = await stack.enter_async_context(place.worker())
            at_work = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'"
            await place.until(at_work, lambda ranges: ranges == 4)
            begin = time.perf_counter()
            await one.kill()
            while not any("its worker is lost" in line for line in other.said):
                assert not running.done()
                await asyncio.sleep(0.01)
            taken.append(time.perf_counter() - begin)
            await running
        query(place.url, "DELETE FROM procrastinate_workers")
    print(
        f"a worker is killed, fleet.lost_seconds {LOST_SECONDS:g}: others have its ranges after "
        f"{statistics.median(taken):.1f} s, at most {max(taken):.1f}",
        flush=True,
    )


async def memory(place: Place, options: argparse.Namespace) -> None:
    """The most memory that each process had at two sizes of a run, whose rows take no time."""
    for rows in filter(None, (options.rows, options.largest)):
        async with place.home() as home, place.worker() as one, place.worker() as two:
            await until_alive(place.url, 2)
            taken = await place.batch(home, rows)
            peaks = {"home": peak(home.pid), "workers": max(peak(one.process.pid), peak(two.process.pid))}
            peaks["PostgreSQL's largest"] = max(map(peak, place.server.pids()))
        shown = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in peaks.items())
        print(f"{rows:,} rows, two workers, {rows / taken:,.0f} rows/s: peak {shown}", flush=True)


def peak(pid: int) -> int:
    """The most resident bytes that a process had so far."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


Figure = Callable[[Place, argparse.Namespace], Awaitable[None]]
FIGURES: dict[str, tuple[Figure, str]] = {
    "speed": (speed, "2 20"),
    "shares": (shares, "2 20"),
    "takeover": (takeover, "2 20"),
    "memory": (memory, "0 0"),
}
REQUESTS: dict[str, Callable[[Postgres, Path, argparse.Namespace], Awaitable[None]]] = {
    "cancel": cancellations,
    "calls": calls_beside_bulk,
}


@contextmanager
def _folder() -> Generator[Path]:
    # Not in the system's temporary folder, which servers do not write to unless they are told so.
    with tempfile.TemporaryDirectory(dir=Path.home()) as name:
        yield Path(name).resolve()


async def measure(options: argparse.Namespace) -> None:
    """Print the figures that were asked for."""
    with postgres() as server, running("bench.fake_ollama") as ollama:
        for name in options.only:
            with _folder() as folder:
                if name in REQUESTS:
                    await REQUESTS[name](server, folder, options)
                else:
                    figure, sleep = FIGURES[name]
                    await figure(Place(server, server.url(), ollama, folder, sleep), options)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cancels", type=int, default=200)
    parser.add_argument("--calls", type=int, default=200)
    known = [*FIGURES, *REQUESTS]
    parser.add_argument("--only", type=lambda text: text.split(","), default=known, help=",".join(known))
    parser.add_argument("--largest", type=int, default=0, help="memory also at so many rows; 1,000,000 take minutes")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
