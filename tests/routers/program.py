"""A router as a program of its own."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

_SECONDS = 60.0


@contextmanager
def running(command: list[str], port: int, log: Path, env: Mapping[str, str] | None = None) -> Generator[None]:
    """Run a program until the block ends, from when it takes connections on a port of this machine.

    Args:
        command: Its command line.
        port: The port that it listens on.
        log: The file that gets what it prints.
        env: Its environment.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=env)
    try:
        deadline = time.monotonic() + _SECONDS
        while not _listens(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text(encoding="utf-8")[-2000:]
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
