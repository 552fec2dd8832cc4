"""Running the command line as a person or a host does: in a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


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
        sys.executable,
        "-m",
        "ollama_mcp",
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
