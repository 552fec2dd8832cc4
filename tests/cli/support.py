"""Running the command line as a person or a host does: in a process of its own."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass

from tests.program import ROOT, program

__all__ = ["ROOT", "Ran", "environment", "on_screen", "run"]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a finished command said."""

    code: int
    out: str
    err: str


def environment(**variables: str) -> dict[str, str]:
    """A clean environment: nothing of the person's own settings counts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OLLAMA", "PYTHONPATH"))}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "120", **variables}


async def run(*arguments: str, **variables: str) -> Ran:
    """Run `ollama-mcp-server` with the arguments to its end, in a clean environment with these variables."""
    process = await asyncio.create_subprocess_exec(
        *program(),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**variables),
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 150)
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


async def on_screen(*arguments: str, typed: str = "", **variables: str) -> tuple[int, str]:
    """Run the command with a terminal in the place of all three streams; gives its exit code and what is shown."""
    ours, theirs = os.openpty()
    try:
        os.write(ours, typed.encode())
        process = await asyncio.create_subprocess_exec(
            *program(),
            *arguments,
            env=environment(TERM="xterm", **variables),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = await asyncio.wait_for(asyncio.to_thread(_read_all, ours), 150)
        return await process.wait(), shown.replace("\r\n", "\n")
    finally:
        os.close(ours)


def _read_all(terminal: int) -> str:
    """What a terminal was sent until nobody has its other end any more."""
    read = b""
    with suppress(OSError):  # which is how Linux tells that
        while part := os.read(terminal, 65_536):
            read += part
    return read.decode()
