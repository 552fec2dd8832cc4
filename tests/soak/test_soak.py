"""A long run with everything that goes wrong now and then: nothing grows once the server is warm.

SOAK_SECONDS and SOAK_CALLS shorten it; it goes on until both are reached.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bench.clients import Process
from ollama_mcp.simulator import Fault, Simulator

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
# Half of them fill whatever keeps what was used last, such as the 4,096 models that were asked for last.
CALLS = int(os.environ.get("SOAK_CALLS", "120000"))
IN_FLIGHT = 16
# The share of the run after which nothing may grow.
WARM = 0.5
GROWTH = 1.03
FAULTS = (
    Fault("refuse"),
    Fault("status"),
    Fault("bad_gateway"),
    Fault("rate_limited"),
    Fault("hang", seconds=0.3),
    Fault("reset", after=1),
    Fault("cut", after=1),
    Fault("error_line", after=1),
    Fault("invalid_line", after=1),
    Fault("no_done"),
)
EACH_FAULT = 0.01
CHAT, EMBED = "llama3.2:3b", "nomic-embed-text"

Arguments = dict[str, Any]


def spelling(name: str, chance: random.Random) -> str:
    """One of the many spellings of a model's name."""
    return "".join(chance.choice((letter.upper(), letter)) for letter in name)


class Client:
    """Makes calls of all kinds, by chance."""

    def __init__(self, process: Process, seed: int) -> None:
        self._process = process
        self._chance = random.Random(seed)
        self.outcomes: Counter[str] = Counter()

    async def one(self, number: int) -> None:
        """Make one call, or a few that belong together."""
        chance, draw = self._chance, self._chance.random()
        text = f"Say {number}"
        for each, fault in enumerate(FAULTS):
            if EACH_FAULT * each <= draw < EACH_FAULT * (each + 1):
                await self._call("ollama_generate", model=CHAT, prompt=f"{text} [{fault.kind}]")
                return
        match chance.randrange(10):
            case 0:
                await self._call("ollama_generate", model=f"no{chance.getrandbits(64)}", prompt=text)
            case 1:
                await self._copied(f"copy{chance.getrandbits(64)}", text)
            case 2:
                await self._call("ollama_embed", model=EMBED, input=[text])
            case 3:
                await self._call("ollama_search", query=text, texts=[f"text {chance.getrandbits(64)}", "other"])
            case 4:
                await self._call("ollama_show_model", model=spelling(CHAT, chance))
            case 5:
                await self._call("ollama_chat", model=CHAT, prompt=text, background=chance.random() < 0.1)
            case 6:
                await self._call("ollama_decide", questions=[{"question": "Is it?"}], texts=[text], model=CHAT)
            case 7:
                # Given up halfway, as an agent that was interrupted does.
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.005):
                        await self._call("ollama_generate", model=CHAT, prompt=text)
            case _:
                await self._call("ollama_generate", model=spelling(CHAT, chance), prompt=text)

    async def _copied(self, name: str, text: str) -> None:
        await self._call("ollama_copy_model", source=CHAT, destination=name)
        await self._call("ollama_generate", model=name, prompt=text)
        for confirm in (False, True):
            await self._call("ollama_delete_model", model=name, confirm=confirm)

    async def _call(self, tool: str, **arguments: Any) -> None:
        try:
            await self._process.ask("tools/call", {"name": tool, "arguments": arguments})
        except RuntimeError as error:
            kind = re.search(r"\[([a-z_]+)\]", str(error))
            self.outcomes[f"{tool} {kind[1] if kind else error}"] += 1
        else:
            self.outcomes[f"{tool} ok"] += 1


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system has no /proc")
@pytest.mark.timeout(0)
async def test_nothing_grows_once_the_server_is_warm(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).with_name("tools"), tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    faults = [
        Fault(fault.kind, contains=f"[{fault.kind}]", after=fault.after, seconds=fault.seconds) for fault in FAULTS
    ]
    async with Simulator(num_parallel=IN_FLIGHT, faults=faults) as simulator:
        options = {
            "store.path": tmp_path / "store.sqlite3",
            "tools.folders": json.dumps([str(tmp_path / "tools")]),
        }
        settings = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
        process = Process([sys.executable, "-m", "ollama_mcp", *settings], simulator.url)
        await process.start()
        try:
            await process.handshake()
            warm, end, outcomes = await _run(process)
        finally:
            await process.close()
    sys.stdout.write(f"\nwarm {warm}\nend  {end}\n{outcomes}\n")
    assert not [kind for kind in outcomes if "internal" in kind]
    assert outcomes.total() >= CALLS
    assert end["resident"] < GROWTH * warm["resident"]
    assert end["objects"] < GROWTH * warm["objects"]
    assert end["large"] <= warm["large"]
    assert end["unbounded"] <= warm["unbounded"]
    for name in ("tasks", "threads", "files", "sockets"):
        assert end[name] <= warm[name] + 8, name


async def _run(process: Process) -> tuple[Arguments, Arguments, Counter[str]]:
    """The numbers when warm and at the end, both at rest, and what came of the calls."""
    client, begin, made = Client(process, seed=1), time.monotonic(), 0

    async def work(calls: float, seconds: float) -> None:
        nonlocal made
        while made < calls or time.monotonic() - begin < seconds:
            made += 1
            await client.one(made)

    # More words than are kept.
    words = [" ".join(f"word{number}" for number in range(first, first + 500)) for first in range(0, 10_000, 500)]
    await process.ask("tools/call", {"name": "ollama_search", "arguments": {"query": "word1", "texts": words}})
    found: list[Arguments] = []
    for share in (WARM, 1.0):
        await asyncio.gather(*(work(share * CALLS, share * SECONDS) for _ in range(IN_FLIGHT)))
        await asyncio.sleep(2)  # what was given up may still be closing
        result = await process.ask("tools/call", {"name": "soak_numbers", "arguments": {}})
        found.append(result["structuredContent"])
    return found[0], found[1], client.outcomes
