"""The speed of a batch compared with a plain asyncio and httpx loop, and its memory.

    python -m bench.batch [--rows 2000] [--million]

Both read a file of lines, call a simulated Ollama that answers immediately with 8 requests in flight, and write one
JSON line for each row, in alternating rounds on one machine. Memory is that of the server process, at 1,000 rows and,
with `--million`, at 1,000,000 rows, with a fake Ollama that does even less.
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
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import httpx

from bench.clients import ROOT, Process, running
from bench.server import over_stdio
from bench.simulator import simulated

IN_FLIGHT = 8
ROUNDS = 3
MODEL = "llama3.2:3b"
OPTIONS = {"num_predict": 8}
_NUMBERS = count(1)


async def plain(url: str, lines: Path, output: Path) -> float:
    """Rows per second of a plain loop."""
    begin = time.perf_counter()
    texts = _lines_of(lines)
    answers: list[str] = [""] * len(texts)
    remaining = iter(range(len(texts)))
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def work() -> None:
            for index in remaining:
                message = {"role": "user", "content": f"Say it: {texts[index]}"}
                body = {"model": MODEL, "messages": [message], "stream": False, "options": OPTIONS}
                answers[index] = (await client.post("/api/chat", json=body)).json()["message"]["content"]

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
        # The call must not become a job, so that its end can be measured.
        "jobs.call_seconds": 86_400,
    }
    options = " ".join(f"--set {shlex.quote(f'{name}={json.dumps(value)}')}" for name, value in settings.items())
    command = shlex.split(f"{sys.executable} {ROOT / 'ollama_mcp_server.py'} {options}")
    async with over_stdio(command, url) as server:
        yield server


def write_lines(folder: Path, rows: int) -> Path:
    """Write a file with a number of lines."""
    path = folder / f"{rows}.txt"
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(f"a sentence with the number {row}\n" for row in range(rows))
    return path


async def compare(folder: Path, rows: int) -> tuple[float, float]:
    """Rows per second of the plain loop and of a batch: medians of alternating rounds."""
    lines = write_lines(folder, rows)
    by_hand: list[float] = []
    by_batch: list[float] = []
    with simulated() as url:
        async with serving(url, folder) as server:
            await batch(server, write_lines(folder, 200))  # warm-up
            for _ in range(ROUNDS):
                by_hand.append(await plain(url, lines, folder / "plain.jsonl"))
                by_batch.append(await batch(server, lines))
    return statistics.median(by_hand), statistics.median(by_batch)


async def memory(folder: Path, rows: int) -> tuple[float, float, float]:
    """Megabytes of the server before a batch, the peak during it, and its rows per second."""
    lines = write_lines(folder, rows)
    with running("bench.fake_ollama") as url:
        async with serving(url, folder) as server:
            await batch(server, write_lines(folder, 200), "m")
            before = peak = server.resident_bytes()
            task = asyncio.create_task(batch(server, lines, "m"))
            while not task.done():
                await asyncio.wait({task}, timeout=0.2)
                peak = max(peak, server.resident_bytes())
            return before / 1e6, peak / 1e6, task.result()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--million", action="store_true", help="also measure memory at 1,000,000 rows; takes minutes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.home()) as name:
        folder = Path(name).resolve()
        (folder / "kept").mkdir()
        by_hand, by_batch = asyncio.run(compare(folder, options.rows))
        print(f"{options.rows:,} rows, {IN_FLIGHT} in flight: plain loop {by_hand:.0f} rows/s, batch {by_batch:.0f}:")
        print(f"  {by_batch / by_hand:.2f} times the plain loop")
        for rows in (1_000, 1_000_000) if options.million else (1_000,):
            before, peak, rate = asyncio.run(memory(folder, rows))
            print(f"{rows:,} rows: {before:.0f} MB before, peak {peak:.0f} MB, {rate:.0f} rows/s")


if __name__ == "__main__":
    main()
