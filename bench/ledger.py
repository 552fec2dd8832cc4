"""What the ledger costs: CPU seconds of the server per 1,000 chats with it and without it, in interleaved pairs.

    python -m bench.ledger [--pairs 7] [--calls 1000]

CPU seconds and not time, so that another program's load matters little; the two servers of a pair run one after the
other, in turns which is first. The figure that counts is the median of the pairs' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from pathlib import Path

from bench.clients import Process, running

MODEL = "llama3.2:3b"
WARM_CALLS, IN_FLIGHT = 50, 10


def cpu_seconds(pid: int) -> float:
    """Time that the threads of a process have run so far (Linux)."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(one.read_text(encoding="ascii").split()[0]) for one in threads) / 1e9


async def measure(ollama: str, calls: int, *options: str) -> float:
    """CPU seconds of a server for so many warm chats, the writing of what they leave included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ollama_mcp", "--set", f"store.path={folder}/store.sqlite3", *options]
        server = Process(command, ollama, Path(folder))
        try:
            await server.start()
            await server.handshake()
            await _chat(server, WARM_CALLS)
            before = cpu_seconds(server.pid)
            await _chat(server, calls)
            # What was left to the store is written after two seconds.
            await asyncio.sleep(3)
            return cpu_seconds(server.pid) - before
        finally:
            await server.close()


async def _chat(server: Process, calls: int) -> None:
    chat = {"name": "ollama_chat", "arguments": {"model": MODEL, "prompt": "Hi"}}
    # A few at a time: one by one, a busy machine makes each wait for its turn.
    for _ in range(0, calls, IN_FLIGHT):
        await asyncio.gather(*(server.ask("tools/call", chat) for _ in range(IN_FLIGHT)))


async def run(pairs: int, calls: int) -> list[tuple[float, float]]:
    """Pairs of CPU seconds: without and with the ledger."""
    found: list[tuple[float, float]] = []
    with running("ollama_mcp.simulator", "--port", "0", "--latency", "0", "--load", "0") as ollama:
        for pair in range(pairs):
            options: dict[bool, tuple[str, ...]] = {False: (), True: ("--set", "ledger.enabled=true")}
            seconds = {on: await measure(ollama, calls, *options[on]) for on in (bool(pair % 2), not pair % 2)}
            found.append((seconds[False], seconds[True]))
            print(f"pair {pair + 1}: {seconds[False]:.2f} s without, {seconds[True]:.2f} s with", file=sys.stderr)
    return found


def main() -> None:
    """Print the medians and the median ratio."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pairs", type=int, default=7)
    options.add_argument("--calls", type=int, default=1_000)
    chosen = options.parse_args()
    found = asyncio.run(run(chosen.pairs, chosen.calls))
    scale = 1_000 / chosen.calls
    without, with_ledger = (statistics.median(column) * scale for column in zip(*found, strict=True))
    ratio = statistics.median(on / off for off, on in found)
    print(f"CPU per 1,000 chats: {without:.2f} s, with the ledger {with_ledger:.2f} s; ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
