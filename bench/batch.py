"""The speed of batch and decide compared with a plain asyncio and httpx loop, and the memory of a batch.

    python -m bench.batch [--rounds 5] [--million]

Each pair runs in alternating rounds on one machine, 16 requests in flight, against stand-ins for an Ollama: one that
takes 40 ms for 16 tokens, one that takes 160 ms for 64, each token a line of its own where the answer is streamed, and
one that answers at once. The loop does not stream. Only the ratios, medians of the rounds, say something; CPU is that
of the server process for a row. Memory is that of the server process, at 1,000 rows and, with `--million`, at
1,000,000 rows.
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
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from bench.clients import ROOT, Process, running
from bench.server import over_stdio

LANES = 16
MODEL = "m"
_NUMBERS = count(1)
_QUESTION = {"name": "tone", "question": "How does it sound?", "labels": ["friendly", "angry"]}
# What the server sends for such a question.
_LETTER_OPTIONS = {"temperature": 0, "num_predict": 4}
_EMBED_CHUNK = 64

Body = Callable[[str], dict[str, Any]]
Work = Callable[[Process, Path], Awaitable[None]]


@dataclass(frozen=True)
class Pair:
    """What the server and the loop do with each line of a file.

    Attributes:
        name: What the table calls it.
        path: The endpoint.
        body: The request of the loop for a text.
        work: Has the server do the same.
    """

    name: str
    path: str
    body: Body
    work: Work


async def plain(url: str, pair: Pair, lines: Path, output: Path) -> float:
    """Rows per second of a plain loop."""
    begin = time.perf_counter()
    texts = _lines_of(lines)
    answers: list[Any] = [None] * len(texts)
    remaining = iter(range(len(texts)))
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def work() -> None:
            for index in remaining:
                answers[index] = (await client.post(pair.path, json=pair.body(texts[index]))).json()

        await asyncio.gather(*(work() for _ in range(LANES)))
    _write_rows(output, [answer["message"] for answer in answers])
    return len(texts) / (time.perf_counter() - begin)


async def plain_embed(url: str, lines: Path, output: Path) -> float:
    """Rows per second of a plain loop that embeds as many texts in a request as the server does."""
    begin = time.perf_counter()
    texts = _lines_of(lines)
    vectors: list[list[float]] = [[]] * len(texts)
    remaining = iter(range(0, len(texts), _EMBED_CHUNK))
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def work() -> None:
            for first in remaining:
                body = {"model": MODEL, "input": texts[first : first + _EMBED_CHUNK]}
                answer = (await client.post("/api/embed", json=body)).json()
                vectors[first : first + _EMBED_CHUNK] = answer["embeddings"]

        await asyncio.gather(*(work() for _ in range(LANES)))
    _write_rows(output, vectors)
    return len(texts) / (time.perf_counter() - begin)


def _lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _write_rows(path: Path, answers: list[Any]) -> None:
    rows = (json.dumps({"row": row, "output": answer}) for row, answer in enumerate(answers, start=1))
    path.write_text("\n".join(rows), encoding="utf-8")


def _chat(options: dict[str, Any], **more: Any) -> Body:
    def body(text: str) -> dict[str, Any]:
        message = {"role": "user", "content": f"Say it: {text}"}
        return {"model": MODEL, "messages": [message], "stream": False, "options": options, **more}

    return body


async def batch(server: Process, lines: Path, **more: Any) -> None:
    """Run a batch over the lines."""
    output = lines.parent / f"out-{next(_NUMBERS)}.jsonl"
    arguments = {"input": [str(lines)], "model": MODEL, "output": str(output), **more}
    report = (await server.ask("tools/call", {"name": "ollama_batch", "arguments": arguments}))["structuredContent"]
    assert report["failed"] == 0, report


async def prompt_batch(server: Process, lines: Path, tokens: int = 64) -> None:
    """Run a batch of one prompt with a bounded answer."""
    await batch(server, lines, prompt="Say it: {text}", options={"num_predict": tokens})


async def decide_batch(server: Process, lines: Path) -> None:
    """Run a batch of a question."""
    await batch(server, lines, questions=[_QUESTION])


async def decide(server: Process, lines: Path) -> None:
    """Ask the question about each line by ollama_decide."""
    arguments = {"texts": _lines_of(lines), "questions": [_QUESTION], "model": MODEL}
    report = (await server.ask("tools/call", {"name": "ollama_decide", "arguments": arguments}))["structuredContent"]
    # A long result is cut here, and its rest kept; those rows are answered too.
    assert report["rows"][-1]["answer"], report["rows"][-1]


_LETTER = _chat(_LETTER_OPTIONS, logprobs=True, top_logprobs=20)
PAIRS = (
    Pair("batch", "/api/chat", _chat({"num_predict": 64}), prompt_batch),
    Pair("batch of a question", "/api/chat", _LETTER, decide_batch),
    Pair("decide", "/api/chat", _LETTER, decide),
)


@asynccontextmanager
async def serving(url: str, folder: Path) -> AsyncGenerator[Process]:
    """A server that may read and write in a folder."""
    settings = {
        "work.parallel": LANES,
        "limits.files": 100_000,
        "limits.embed_chunk": _EMBED_CHUNK,
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


async def compare(folder: Path, pairs: Sequence[Pair], tokens: int, seconds: float, rows: int, rounds: int) -> None:
    """Print a line for each pair: rows per second of the loop and of the server, their ratio, and the server's CPU."""
    lines = write_lines(folder, rows)
    with running("bench.fake_ollama", "--tokens", str(tokens), "--seconds", str(seconds)) as url:
        async with serving(url, folder) as server:
            for pair in pairs:
                await pair.work(server, write_lines(folder, 4 * LANES))  # warm-up
                by_hand: list[float] = []
                by_server: list[float] = []
                loop_cpu: list[float] = []
                cpu: list[float] = []
                for _ in range(rounds):
                    before = time.process_time()
                    by_hand.append(await plain(url, pair, lines, folder / "plain.jsonl"))
                    loop_cpu.append(1000 * (time.process_time() - before) / rows)
                    before, begin = server.cpu_seconds(), time.perf_counter()
                    await pair.work(server, lines)
                    by_server.append(rows / (time.perf_counter() - begin))
                    cpu.append(1000 * (server.cpu_seconds() - before) / rows)
                what = f"{pair.name}, {tokens} tokens in {1000 * seconds:.0f} ms"
                print_line(what, by_hand, by_server, (loop_cpu, cpu))


async def compare_embedding(folder: Path, rows: int, rounds: int) -> None:
    """Print the same line for a batch of vectors."""
    lines = write_lines(folder, rows)
    with running("bench.fake_ollama") as url:
        async with serving(url, folder) as server:
            await batch(server, write_lines(folder, 4 * LANES), embed=True)
            by_hand: list[float] = []
            by_server: list[float] = []
            loop_cpu: list[float] = []
            cpu: list[float] = []
            for _ in range(rounds):
                before = time.process_time()
                by_hand.append(await plain_embed(url, lines, folder / "plain.jsonl"))
                loop_cpu.append(1000 * (time.process_time() - before) / rows)
                before, begin = server.cpu_seconds(), time.perf_counter()
                await batch(server, lines, embed=True)
                by_server.append(rows / (time.perf_counter() - begin))
                cpu.append(1000 * (server.cpu_seconds() - before) / rows)
            print_line("batch of vectors, at once", by_hand, by_server, (loop_cpu, cpu))


def print_line(
    what: str, by_hand: list[float], by_server: list[float], cpu: tuple[list[float], list[float]] | None = None
) -> None:
    """Print a line of the table; the ratio is the median of the rounds' ratios."""
    ratio = statistics.median(ours / loop for ours, loop in zip(by_server, by_hand, strict=True))
    loop, ours = statistics.median(by_hand), statistics.median(by_server)
    shown = ", {:.2f} and {:.2f} ms CPU a row".format(*map(statistics.median, cpu)) if cpu else ""
    print(f"{what}: loop {loop:.0f} rows/s, here {ours:.0f}, {ratio:.2f} times{shown}", flush=True)


async def first_batches(folder: Path, processes: int) -> None:
    """Print the seconds of the first and of the second batch of a process."""
    lines = write_lines(folder, 1)
    taken: tuple[list[float], list[float]] = [], []
    with running("bench.fake_ollama") as url:
        for _ in range(processes):
            async with serving(url, folder) as server:
                # As long as a person or an agent takes at least before a batch is called.
                await server.ask("tools/list", {})
                await asyncio.sleep(1)
                for times in taken:
                    begin = time.perf_counter()
                    await prompt_batch(server, lines)
                    times.append(time.perf_counter() - begin)
    first, second = map(statistics.median, taken)
    print(f"a batch of one row: first of a process {first:.3f} s, second {second:.3f} s", flush=True)


async def memory(folder: Path, rows: int) -> None:
    """Print megabytes of the server before a batch, the peak during it, and its rows per second."""
    lines = write_lines(folder, rows)
    with running("bench.fake_ollama") as url:
        async with serving(url, folder) as server:
            await prompt_batch(server, write_lines(folder, 200))
            before = peak = server.resident_bytes()
            begin = time.perf_counter()
            task = asyncio.create_task(prompt_batch(server, lines))
            while not task.done():
                await asyncio.wait({task}, timeout=0.2)
                peak = max(peak, server.resident_bytes())
            task.result()
            rate = rows / (time.perf_counter() - begin)
    print(f"{rows:,} rows: {before / 1e6:.0f} MB before, peak {peak / 1e6:.0f} MB, {rate:.0f} rows/s", flush=True)


async def measure(folder: Path, rounds: int, *, million: bool) -> None:
    """Print all figures."""
    print(f"{LANES} requests in flight, medians of {rounds}:")
    await compare(folder, PAIRS, 16, 0.04, 480, rounds)
    await compare(folder, PAIRS, 64, 0.16, 160, rounds)
    # The most that one process does: the ceiling, whatever the engine.
    await compare(folder, PAIRS[:2], 1, 0.0, 1_600, rounds)
    await compare_embedding(folder, 8_000, rounds)
    await first_batches(folder, 3)
    await memory(folder, 1_000)
    if million:
        await memory(folder, 1_000_000)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--million", action="store_true", help="also measure memory at 1,000,000 rows; takes minutes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.home()) as name:
        folder = Path(name).resolve()
        (folder / "kept").mkdir()
        asyncio.run(measure(folder, options.rounds, million=options.million))


if __name__ == "__main__":
    main()
