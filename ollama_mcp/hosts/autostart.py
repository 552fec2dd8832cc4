"""Starts the Ollama of this machine where nothing listens at its address (setting `autostart`)."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

_LOOPBACKS = ("127.0.0.1", "localhost", "::1")
_READY_SECONDS = 20.0
_POLL_SECONDS = 0.1
# After a start that failed, so that not every call waits for the next one.
_PAUSE_SECONDS = 60.0
# Where installers put it, since the PATH of a desktop application may not have it.
_PLACES = {
    "darwin": (
        "/usr/local/bin/ollama",
        "/opt/homebrew/bin/ollama",
        "/Applications/Ollama.app/Contents/Resources/ollama",
    ),
    "win32": ("~/AppData/Local/Programs/Ollama/ollama.exe",),
}
_LINUX_PLACES = ("/usr/local/bin/ollama", "/usr/bin/ollama", "~/.local/bin/ollama")
# Without the reference, Python would complain about a child that goes on to run.
_started: list[subprocess.Popen[bytes]] = []


class Autostart:
    """Starts Ollama for one address; calls at the same time share one start.

    Args:
        url: The address; only one of this machine is started.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 11434
        self._is_local = self._host in _LOOPBACKS and parts.scheme == "http"
        self._lock = asyncio.Lock()
        self._failed_at = float("-inf")
        self._ready_at = float("-inf")

    async def start(self) -> bool:
        """Start Ollama and wait until it listens; whether a request may be sent again."""
        asked_at = time.monotonic()
        async with self._lock:
            if self._ready_at >= asked_at:
                return True
            if not self._is_local or time.monotonic() - self._failed_at < _PAUSE_SECONDS:
                return False
            if await self._run():
                self._ready_at = time.monotonic()
                return True
            self._failed_at = time.monotonic()
            return False

    async def _run(self) -> bool:
        program = await asyncio.to_thread(find_program)
        if program is None:
            log.warning("autostart: no program `ollama` was found")
            return False
        try:
            process = await asyncio.to_thread(_launch, program, f"{self._host}:{self._port}")
        except OSError as error:
            log.warning("autostart: %s does not start: %s", program, error.strerror)
            return False
        _started.append(process)
        log.warning("autostart: started %s serve (process %d)", program, process.pid)
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if await self._listens():
                return True
            if process.poll() is not None:
                log.warning("autostart: it ended at once (exit code %d)", process.returncode)
                return False
            await asyncio.sleep(_POLL_SECONDS)
        log.warning("autostart: it does not listen after %g s", _READY_SECONDS)
        return False

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            return False
        writer.close()
        return True


def find_program() -> str | None:
    """The path of `ollama`: from PATH, else where its installers put it."""
    if found := shutil.which("ollama"):
        return found
    places = (Path(place).expanduser() for place in _PLACES.get(sys.platform, _LINUX_PLACES))
    return next((str(place) for place in places if place.is_file()), None)


def _launch(program: str, address: str) -> subprocess.Popen[bytes]:
    """Start it apart from this process, which it outlives and whose stdin and stdout it must not touch."""
    silent = subprocess.DEVNULL
    environment = {**os.environ, "OLLAMA_HOST": address}
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
    return subprocess.Popen(
        [program, "serve"],
        stdin=silent,
        stdout=silent,
        stderr=silent,
        env=environment,
        start_new_session=True,
        creationflags=flags,
    )
