"""The time from a server's start to its first answers, beside other servers for Ollama.

    python -m bench.start [--command "python ollama_mcp_server.py"]

Everything is measured in one run, in turns: idle, and beside four busy loops. The peers are installed from npm where
that works. Only the ratios are comparable between machines, and between moments of one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bench.clients import ROOT, Process, running

PEERS = {"ollama-mcp-server": "1.1.0", "ollama-mcp": "2.1.0"}
_STARTS, _PAIRS, _LOOPS = 5, 9, 4
_INSTALL_SECONDS = 180
_PYTHON = "python -c pass, to its end"
_KEPT, _ORDINARY = "this server", "this server, --no-cache"


def installed_peers(folder: Path) -> dict[str, list[str]]:
    """The commands of the npm packages, installed into a folder; fewer where npm is missing or cannot reach them."""
    npm = shutil.which("npm")
    found: dict[str, list[str]] = {}
    for name, version in PEERS.items() if npm else ():
        install = [
            str(npm),
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
            str(folder / name),
            f"{name}@{version}",
        ]
        try:
            done = subprocess.run(install, capture_output=True, check=False, timeout=_INSTALL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        script = folder / name / "node_modules" / ".bin" / name
        if done.returncode == 0 and script.exists():
            # Node itself, as a host's own command would be: npx is slower.
            found[f"npm {name}"] = ["node", str(script.resolve())]
    return found


async def initialized(command: list[str], ollama: str) -> float:
    """Milliseconds from the start of a process to its answer to `initialize`."""
    process = Process(command, ollama)
    begin = time.perf_counter()
    await process.start()
    await process.handshake()
    taken = time.perf_counter() - begin
    await process.close()
    return 1000 * taken


async def first_result(command: list[str], ollama: str) -> float:
    """Milliseconds from the start of a process to the result of its first tool call, after tools/list."""
    process = Process(command, ollama)
    begin = time.perf_counter()
    await process.start()
    await process.handshake()
    await process.ask("tools/list", {})
    await process.call()
    taken = time.perf_counter() - begin
    await process.close()
    return 1000 * taken


def python_alone() -> float:
    """Milliseconds that Python takes to start and end."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return 1000 * (time.perf_counter() - begin)


@contextmanager
def cache_folder(folder: str) -> Generator[None]:
    """Let servers keep their answers in a folder, so that nothing kept before counts."""
    before = os.environ.get("XDG_CACHE_HOME", "")
    os.environ["XDG_CACHE_HOME"] = folder
    try:
        yield
    finally:
        os.environ["XDG_CACHE_HOME"] = before  # an empty one is none


def warm(command: list[str], ollama: str) -> None:
    """Let the server keep its answers."""
    env = {**os.environ, "OLLAMA_HOST": ollama, "PYTHONPATH": str(ROOT)}
    subprocess.run([*command, "warm"], env=env, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def busy(loops: int) -> Generator[None]:
    """Keep the machine busy with processes that do nothing else."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def initialize_times(commands: dict[str, list[str]], ollama: str) -> dict[str, float]:
    """Medians by name."""
    taken: dict[str, list[float]] = {name: [] for name in (_PYTHON, *commands)}
    for _ in range(_STARTS):
        taken[_PYTHON].append(python_alone())
        for name, command in commands.items():
            taken[name].append(await initialized(command, ollama))
    return {name: statistics.median(times) for name, times in taken.items()}


async def call_ratio(command: list[str], ollama: str) -> float:
    """The median of how long a start from kept answers takes to its first tool result, by an ordinary one beside it."""
    ratios: list[float] = []
    for _ in range(_PAIRS):
        kept = await first_result(command, ollama)
        ratios.append(kept / await first_result([*command, "--no-cache"], ollama))
    return statistics.median(ratios)


async def lines(command: list[str], ollama: str) -> list[str]:
    """The table and the ratio."""
    with tempfile.TemporaryDirectory() as name, cache_folder(name):
        await asyncio.to_thread(warm, command, ollama)
        peers = await asyncio.to_thread(installed_peers, Path(name))
        commands = {_KEPT: command, _ORDINARY: [*command, "--no-cache"], **peers}
        load = os.getloadavg()[0]
        idle = await initialize_times(commands, ollama)
        with busy(_LOOPS):
            loaded = await initialize_times(commands, ollama)
        ratio = await call_ratio(command, ollama)
    rows = [f"| from spawn, ms (load before: {load:.1f}) | initialize | with {_LOOPS} busy loops |", "|---|---|---|"]
    rows += [f"| {name} | {idle[name]:.0f} | {loaded[name]:.0f} |" for name in idle]
    return [*rows, "", f"To the first tool result a start takes {ratio:.2f} times as long as one with `--no-cache`."]


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--command", default=f"{sys.executable} ollama_mcp_server.py", help="command of the server")
    chosen = options.parse_args()
    with running("bench.fake_ollama") as ollama:
        print("\n".join(asyncio.run(lines(shlex.split(chosen.command), ollama))))


if __name__ == "__main__":
    main()
