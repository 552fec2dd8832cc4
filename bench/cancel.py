"""From `notifications/cancelled` to Ollama's noticing that its client has left.

    python -m bench.cancel [--calls 200]

That many generates are in flight at once over stdio. A simulated Ollama works on a tenth of them and queues the others.
They are cancelled one after another, in random order; each time counts from before the notification is written to the
moment in which the simulator sees the connection close, on this same machine. In between are the server's process, the
client's and the simulator's, which share one event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from itertools import count
from typing import Any

from bench.clients import ROOT
from ollama_mcp.simulator import Answer, Simulator

MODEL = "llama3.2:3b"


async def measure(calls: int) -> list[float]:
    """Milliseconds of each cancellation, sorted."""
    async with Simulator(version="latest", num_parallel=max(calls // 10, 1)) as simulator:
        never = asyncio.Event()
        simulator.script(MODEL, *[Answer(text="never", hold=never)] * calls)
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ollama_mcp", "--ollama", simulator.url, "--set", "store.path=:memory:"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert server.stdin is not None
        numbers = count()

        def send(method: str, params: dict[str, Any], *, answered: bool = True) -> None:
            assert server.stdin is not None
            message = {"jsonrpc": "2.0", "method": method, "params": params}
            line = json.dumps({**message, "id": next(numbers)} if answered else message)
            server.stdin.write(line.encode() + b"\n")

        client = {"name": "bench", "version": "1"}
        send("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client})
        send("notifications/initialized", {}, answered=False)
        for _ in range(calls):
            arguments = {"model": MODEL, "prompt": "Hi"}
            send("tools/call", {"name": "ollama_generate", "arguments": arguments})
        while len(simulator.in_flight) < calls:  # noqa: ASYNC110 - the simulator has no event for it
            await asyncio.sleep(0.01)
        durations = [await _cancel(simulator, send, number) for number in random.sample(range(1, calls + 1), calls)]
        server.stdin.close()
        await server.wait()
    return sorted(durations)


async def _cancel(simulator: Simulator, send: Any, number: int) -> float:
    seen, began = len(simulator.disconnects), time.perf_counter()
    send("notifications/cancelled", {"requestId": number}, answered=False)
    while len(simulator.disconnects) == seen:  # noqa: ASYNC110 - each turn of the loop is looked at
        await asyncio.sleep(0)
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200, help="calls in flight (200)")
    calls = parser.parse_args().calls
    durations = asyncio.run(measure(calls))
    p50, p99 = durations[len(durations) // 2], durations[len(durations) * 99 // 100]
    print(f"cancel, {calls} in flight: p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {durations[-1]:.1f} ms")


if __name__ == "__main__":
    main()
