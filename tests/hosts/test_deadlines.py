"""The time that a call has in all, with the text that came; and the start of a local Ollama."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.hosts.several import MODEL, several
from tests.support import connected, data, error, text, texts, until

LIMIT = {"call": 1.0}


@pytest.mark.slow
async def test_a_call_that_takes_too_long_is_cut_with_what_came(simulator: Simulator):
    simulator.script(MODEL, Answer(["One ", "two ", "never"], hold="never", hold_after=2), Answer("fine"))
    async with connected(simulator.url, timeouts=LIMIT) as client:
        result = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})
        assert "within 1 s" in error(result, "timeout") and "timeouts.call" in error(result, "timeout")
        assert texts(result)[1] == "One two "
        # Ollama was told to stop, and the next call works.
        await until(lambda: len(simulator.disconnects) == 1)
        assert text(await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})) == "fine"


@pytest.mark.slow
async def test_the_limit_counts_what_a_call_waits_for_too(simulator: Simulator):
    simulator.script(MODEL, *[Answer("never", hold="never")] * 2)
    async with connected(simulator.url, timeouts=LIMIT, limits={"in_flight": 1}) as client:
        chat = {"model": MODEL, "prompt": "Hi"}
        first, second = await asyncio.gather(*(client.call_tool("ollama_chat", chat) for _ in range(2)))
        assert error(first, "timeout") and error(second, "timeout")


@pytest.mark.slow
async def test_work_that_the_same_call_resumes_is_not_cut(simulator: Simulator, tmp_path: Path):
    rows = [f"row {number}" for number in range(4)]
    simulator.script(MODEL, *(Answer(["a", "b", "c", "d", "e"], delay=0.3) for _ in rows))
    async with connected(simulator.url, timeouts=LIMIT, work={"parallel": 1}) as client:
        report = data(await client.call_tool("ollama_batch", {"model": MODEL, "input": rows, "prompt": "Do {text}"}))
    assert (report["done"], report["failed"]) == (4, 0) and report["seconds"] > LIMIT["call"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
async def test_a_local_ollama_is_started_where_the_settings_say_so(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    await simulator.stop()
    port, pid_file = simulator.url.rpartition(":")[2], tmp_path / "pid"
    program = tmp_path / "ollama"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = serve ] || exit 1\necho $$ > "{pid_file}"\n'
        f'exec "{sys.executable}" -m ollama_mcp.simulator --port "${{OLLAMA_HOST##*:}}"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    chat = {"model": MODEL, "prompt": "Hi"}
    async with connected(f"127.0.0.1:{port}") as client:
        assert "Start Ollama" in error(await client.call_tool("ollama_chat", chat), "unreachable")
        assert not pid_file.exists()
    try:
        async with connected(f"127.0.0.1:{port}", autostart=True) as client:
            assert not (await client.call_tool("ollama_chat", chat)).is_error
        # It outlives the server that started it.
        os.kill(int(pid_file.read_text(encoding="utf-8")), 0)
    finally:
        if pid_file.exists():
            process = int(pid_file.read_text(encoding="utf-8"))
            os.kill(process, signal.SIGTERM)
            # A child of this process, since the server ran in it.
            await asyncio.to_thread(os.waitpid, process, 0)


async def test_a_host_elsewhere_is_never_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program, ran = tmp_path / "ollama", tmp_path / "ran"
    program.write_text(f'#!/bin/sh\ntouch "{ran}"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    async with several(autostart=True, hosts={"a": {"url": "127.0.0.2:9"}}) as bench:
        error(await bench.ask(host="a"), "unreachable")
    assert not ran.exists()
