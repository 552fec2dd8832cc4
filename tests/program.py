"""The command line of this program as tests start it: each time a process of its own, with its own streams.

A start imports for most of a second. Where a test is about what a command does, and not about how Python starts, its
process is forked from one that has done that.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

ROOT = Path(__file__).resolve().parents[1]
FORKED = Path(__file__).with_name("forked")


def program(module: str = "ollama_mcp") -> list[str]:
    """What to start in the place of `python -m MODULE`."""
    return [*_starter(), module]


@cache
def _starter() -> list[str]:
    if not hasattr(os, "fork"):
        return [sys.executable, "-m"]
    # A short path: that of a socket has at most about a hundred bytes.
    folder = mkdtemp(prefix="forked-")
    path = os.path.join(folder, "s")
    # Its path of imports is that of each command, which has a PYTHONPATH of its own.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    server = subprocess.Popen(
        [sys.executable, FORKED / "serve.py", path], cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdin is not None and server.stdout is not None
    with server.stdout as ready:
        assert ready.readline() == b"ready\n"

    def end() -> None:
        with server:
            pass
        shutil.rmtree(folder)

    atexit.register(end)
    return [sys.executable, "-I", "-S", str(FORKED / "start.py"), path]
