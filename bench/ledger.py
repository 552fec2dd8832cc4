"""What the ledger costs: CPU seconds of the server per 1,000 chats with it and without it, in interleaved pairs.

    python -m bench.ledger [--pairs 7] [--calls 1000]

CPU seconds and not time, so that another program's load matters little; the two servers of a pair run at the same time
and are called in turns. The figure that counts is the median of the pairs' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.clients import Process, running

MODEL = "llama3.2:3b"
WARM_CALLS, BLOCK, IN_FLIGHT = 50, 50, 10
# What is left to the store is written after two seconds.
WRITE_SECONDS = 3.0


def cpu_seconds(pid: int) -> float:
    """Time that the threads of a process have run so far (Linux)."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(one.read_text(encoding="ascii").split()[0]) for one in threads) / 1e9


@asynccontextmanager
async def serving(ollama: str, *options: str) -> AsyncGenerator[Process]:
    """A server that has answered some calls."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ollama_mcp", "--set", f"store.path={folder}/store.sqlite3", *options]
        server = Process(command, ollama, Path(folder))
        try:
            await server.start()
            await server.handshake()
            await _chat(server, WARM_CALLS)
            await asyncio.sleep(WRITE_SECONDS)
            yield server
        finally:
            await server.close()


async def measure(ollama: str, calls: int) -> tuple[float, float]:
    """CPU seconds of two servers for so many warm chats, without and with the ledger, its writing included."""
    async with serving(ollama) as without, serving(ollama, "--set", "ledger.enabled=true") as with_ledger:
        servers = (without, with_ledger)
        before = [cpu_seconds(server.pid) for server in servers]
        # In turns: what else the machine does changes from second to second.
        for block in range(0, calls, BLOCK):
            for server in servers if block // BLOCK % 2 else reversed(servers):
                await _chat(server, BLOCK)
        await asyncio.sleep(WRITE_SECONDS)
        first, second = (cpu_seconds(server.pid) - at for server, at in zip(servers, before, strict=True))
        return first, second


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
            found.append(await measure(ollama, calls))
            print("pair {}: {:.3f} s without, {:.3f} s with".format(pair + 1, *found[-1]), file=sys.stderr)
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
