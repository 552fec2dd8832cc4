"""Batches in a server process of their own: killed in the middle, and on a disk that is full."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.support import until
from tests.transports.wire import StdioPeer, call, text_of
from tests.work.batch.batching import MODEL, settings_of

SERVE = [sys.executable, "-m", "ollama_mcp"]
# Files of this process may not grow beyond the size given: writing fails as it does on a full disk.
LIMITED = (
    "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); sys.argv[0] = 'ollama_mcp'; "
    "runpy.run_module('ollama_mcp', run_name='__main__', alter_sys=True)"
)


@asynccontextmanager
async def serving(simulator: Simulator, tmp_path: Path, command: list[str] = SERVE) -> AsyncGenerator[StdioPeer]:
    """A server process over stdio whose folder is `tmp_path / "data"`."""
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings_of(folder, tmp_path / "kept")))
    options = ("--config", str(config), "--ollama", simulator.url)
    peer = await asyncio.to_thread(StdioPeer, *options, command=command)
    try:
        await asyncio.to_thread(peer.handshake)
        yield peer
    finally:
        await asyncio.to_thread(peer.__exit__)


async def batch(peer: StdioPeer, number: int, **arguments: Any) -> dict[str, Any]:
    """The result of a batch."""
    answer = await asyncio.to_thread(peer.ask, call(number, "ollama_batch", model=MODEL, **arguments))
    return answer["result"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
async def test_a_server_killed_in_mid_batch_loses_no_row_and_doubles_none(simulator: Simulator, tmp_path: Path):
    lines = [f"line {n}" for n in range(400)]
    (tmp_path / "data").mkdir()
    source = tmp_path / "data" / "in.txt"
    source.write_text("\n".join(lines))
    arguments: dict[str, Any] = {"input": [str(source)], "prompt": "{text}", "output": "out.jsonl"}
    for round_number in (1, 2):
        asked = len(simulator.requests)
        async with serving(simulator, tmp_path) as peer:
            peer.send(call(round_number, "ollama_batch", model=MODEL, **arguments))
            await until(lambda seen=asked: len(simulator.requests) > seen + 120, seconds=60)
            peer.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(peer.process.wait, 10)
        assert not (tmp_path / "data" / "out.jsonl").exists()
    async with serving(simulator, tmp_path) as peer:
        listed = await asyncio.to_thread(peer.ask, call(9, "ollama_job"))
        (left,) = listed["result"]["structuredContent"]["unfinished_batches"]
        result = await batch(peer, 3, **arguments)
        after = await asyncio.to_thread(peer.ask, call(10, "ollama_job"))
    # What a new process finds of the killed ones, until the same call has done the rest.
    assert left["input"].endswith("in.txt'") and left["output"] == "out.jsonl" and left["model"] == MODEL
    assert 100 < left["done"] < 400 and (left["total"], left["task"]) == (400, "{text}")
    assert "The same ollama_batch call" in text_of(listed)
    assert "unfinished_batches" not in after["result"]["structuredContent"]
    report = result["structuredContent"]
    assert (report["done"], report["failed"]) == (400, 0)
    rows = [json.loads(line) for line in (tmp_path / "data" / "out.jsonl").read_text().splitlines()]
    assert [row["row"] for row in rows] == list(range(1, 401))
    prompts = [seen.json["messages"][-1]["content"] for seen in simulator.requests if seen.path == "/api/chat"]
    assert set(prompts) == set(lines)
    # Nothing but what was in flight at the two kills is asked again: four rows each time.
    assert len(prompts) <= 408


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.slow
async def test_a_disk_that_fills_while_writing_costs_no_row(simulator: Simulator, tmp_path: Path):
    (tmp_path / "data").mkdir()
    source = tmp_path / "data" / "in.csv"
    source.write_text("id,long\n" + "".join(f"{n},{'x' * 500_000}\n" for n in range(20)))
    simulator.script(MODEL, *[Answer(text="short")] * 20)
    arguments: dict[str, Any] = {"input": [str(source)], "prompt": "{id}", "output": "out.csv"}
    limited = [sys.executable, "-c", LIMITED.format(4_000_000)]
    async with serving(simulator, tmp_path, limited) as peer:
        result = await batch(peer, 1, **arguments)
    assert result["isError"] is True
    said = result["content"][0]["text"]
    assert said.startswith("[disk] Stopped with 20 of 20 rows done, which are kept")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["in.csv"]
    async with serving(simulator, tmp_path) as peer:
        answer = await asyncio.to_thread(peer.ask, call(2, "ollama_batch", model=MODEL, **arguments))
    assert "20 of 20 rows done" in text_of(answer)
    assert (tmp_path / "data" / "out.csv").stat().st_size > 10_000_000
    assert sum(seen.path == "/api/chat" for seen in simulator.requests) == 20
