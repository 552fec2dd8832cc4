"""Whether a process that wrote to the store is still there."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple


class ProcessIdentity(NamedTuple):
    """A process, told from any other that has or had its number.

    Attributes:
        machine: The running system and its space of process numbers; "" where that cannot be told.
        pid: Its number.
        born: When it began, in the system's own ticks since its start, which no clock changes.
    """

    machine: str
    pid: int
    born: str


@cache
def this_process() -> ProcessIdentity:
    """The identity of this process."""
    pid = os.getpid()
    return ProcessIdentity(_machine(), pid, _born(pid) or "")


def has_ended(process: ProcessIdentity) -> bool:
    """Whether a process is known to have ended; False where that cannot be told."""
    if not process.machine or process.machine != _machine():
        return False
    return _born(process.pid) != process.born


@cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        # Containers on one machine have numbers of their own.
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str | None:
    """When a process began; None if there is none, or only its exit code waits to be read."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, in parentheses, may hold anything. After it come the state and, as 20th, the start.
    fields = status.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]
