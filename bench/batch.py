"""A batch against a plain loop of asyncio and httpx that does the same, and its memory.

    python -m bench.batch [--rows 2000] [--million]

Both read a file of lines, ask a simulated Ollama that answers at once with 8 requests in flight, and write a line of
JSON for each row; they take turns, in one run on one machine. The memory is that of the server process, at 1,000 rows
and, with `--million`, at 1,000,000 on an Ollama of even less work.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path

import httpx

from bench.clients import ROOT, Process
from bench.server import over_stdio
from bench.simulator import simulated

IN_FLIGHT = 8
ROUNDS = 3
MODEL = "llama3.2:3b"
OPTIONS = {"num_predict": 8}
_NUMBERS = count(1)


async def plain(url: str, lines: Path, output: Path) -> float:
    """Rows per second of the loop that somebody would write by hand."""
    begin = time.perf_counter()
    texts = _lines_of(lines)
    answers: list[str] = [""] * len(texts)
    left = iter(range(len(texts)))
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def work() -> None:
            for place in left:
                message = {"role": "user", "content": f"Say it: {texts[place]}"}
                body = {"model": MODEL, "messages": [message], "stream": False, "options": OPTIONS}
                answers[place] = (await client.post("/api/chat", json=body)).json()["message"]["content"]

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    _write_rows(output, answers)
    return len(texts) / (time.perf_counter() - begin)


def _lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _write_rows(path: Path, answers: list[str]) -> None:
    rows = (json.dumps({"row": row, "output": answer}) for row, answer in enumerate(answers, start=1))
    path.write_text("\n".join(rows), encoding="utf-8")


async def batch(server: Process, lines: Path, model: str = MODEL) -> float:
    """Rows per second of a batch, from the call to its result."""
    begin = time.perf_counter()
    arguments = {
        "input": [str(lines)],
        "prompt": "Say it: {text}",
        "model": model,
        "options": OPTIONS,
        "output": str(lines.parent / f"out-{next(_NUMBERS)}.jsonl"),
    }
    report = (await server.ask("tools/call", {"name": "ollama_batch", "arguments": arguments}))["structuredContent"]
    assert report["failed"] == 0, report
    return report["rows"] / (time.perf_counter() - begin)


@asynccontextmanager
async def serving(url: str, folder: Path) -> AsyncGenerator[Process]:
    """A server that may read and write in a folder."""
    settings = {
        "work.parallel": IN_FLIGHT,
        "read.text_folders": [str(folder)],
        "write.folders": [str(folder)],
        "store.path": str(folder / "kept" / "store.sqlite3"),
        # The result is waited for, however long it takes.
        "jobs.call_seconds": 86_400,
    }
    options = " ".join(f"--set {shlex.quote(f'{name}={json.dumps(value)}')}" for name, value in settings.items())
    command = shlex.split(f"{sys.executable} {ROOT / 'ollama_mcp_server.py'} {options}")
    async with over_stdio(command, url) as server:
        yield server


@contextmanager
def standing_in() -> Generator[str]:
    """URL of an Ollama that always gives the same answer, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.standin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def write_lines(folder: Path, rows: int) -> Path:
    """A file of so many lines."""
    path = folder / f"{rows}.txt"
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(f"a sentence with the number {row}\n" for row in range(rows))
    return path


async def compare(folder: Path, rows: int) -> tuple[float, float]:
    """Rows per second of the plain loop and of a batch: medians of rounds that take turns."""
    lines = write_lines(folder, rows)
    by_hand: list[float] = []
    by_batch: list[float] = []
    with simulated() as url:
        async with serving(url, folder) as server:
            await batch(server, write_lines(folder, 200))  # warm
            for _ in range(ROUNDS):
                by_hand.append(await plain(url, lines, folder / "plain.jsonl"))
                by_batch.append(await batch(server, lines))
    return statistics.median(by_hand), statistics.median(by_batch)


async def memory(folder: Path, rows: int) -> tuple[float, float, float]:
    """Megabytes of the server before a batch and at most during it, and its rows per second."""
    lines = write_lines(folder, rows)
    with standing_in() as url:
        async with serving(url, folder) as server:
            await batch(server, write_lines(folder, 200), "m")
            before = most = server.resident_bytes()
            running = asyncio.create_task(batch(server, lines, "m"))
            while not running.done():
                await asyncio.wait({running}, timeout=0.2)
                most = max(most, server.resident_bytes())
            return before / 1e6, most / 1e6, running.result()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--million", action="store_true", help="the memory at 1,000,000 rows too: some minutes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.home()) as name:
        folder = Path(name).resolve()
        (folder / "kept").mkdir()
        by_hand, by_batch = asyncio.run(compare(folder, options.rows))
        print(f"{options.rows:,} rows, {IN_FLIGHT} in flight: plain loop {by_hand:.0f} rows/s, batch {by_batch:.0f}:")
        print(f"  {by_batch / by_hand:.2f} times the plain loop")
        for rows in (1_000, 1_000_000) if options.million else (1_000,):
            before, most, rate = asyncio.run(memory(folder, rows))
            print(f"{rows:,} rows: {before:.0f} MB before, at most {most:.0f} MB, {rate:.0f} rows/s")


if __name__ == "__main__":
    main()
