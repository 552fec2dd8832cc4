from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import httpx
import pytest

from ollama_mcp.simulator.command_line import main


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--models", "nope"], "no model 'nope'"),
        (["--version", "x"], "not a version of Ollama"),
        (["--version", "0.99.0"], "the oldest version is 0.1.44, the newest 0.40.12"),
        (["--faults", "/does/not/exist"], "/does/not/exist"),
    ],
)
def test_a_failed_start_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert main(arguments, program="the simulator") == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert captured.err.startswith("the simulator: ") and words in captured.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"kind": "reset", "pth": "/api/chat"}]', "did you mean 'path'?"),
        ('{"kind": "rest"}', "'rest' is not a kind of fault"),
        ("[1]", "needs a kind"),
        ("{", "is not valid JSON"),
    ],
)
def test_an_invalid_file_of_faults_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, words: str
) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(text, encoding="utf-8")
    assert main(["--faults", str(faults)]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_an_invalid_port_is_a_usage_error(capsys: pytest.CaptureFixture[str], port: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([f"--port={port}"], program="the simulator")
    said = capsys.readouterr().err
    assert said.startswith("usage: the simulator ") and f"{port!r} is not a port: use 0 (a free one) to 65535" in said
