from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import httpx
import pytest

from ollama_mcp.simulator.process import main


async def _started(*arguments: str) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "ollama_mcp.simulator", "--port", "0", *arguments]
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_prints_its_url_and_ends_cleanly(tmp_path: Path, ending: signal.Signals) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps([{"kind": "forbidden", "path": "/api/ps"}]), encoding="utf-8")
    process = await _started("--version", "0.17.7", "--models", "chat,embed", "--latency", "0", "--faults", str(faults))
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/api/version")).json() == {"version": "0.17.7"}
            assert len((await client.get("/api/tags")).json()["models"]) == 2
            assert (await client.get("/api/ps")).status_code == 403
    finally:
        process.send_signal(ending)
        assert await process.wait() == 0


@pytest.mark.parametrize("arguments", [["--models", "nope"], ["--version", "x"], ["--faults", "/does/not/exist"]])
def test_what_cannot_be_started_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
