"""A host on a terminal: what its screen shows, and keys for it."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import pyte

from tests.support import until

_LINES, _COLUMNS = 50, 150
_SECONDS = 60.0


class Terminal:
    """A program on a terminal of its own.

    Args:
        command: The program.
        folder: Where it is started.
        env: Its environment.
    """

    def __init__(self, command: list[str], folder: Path, env: Mapping[str, str]) -> None:
        self._command, self._folder, self._env = command, folder, env
        self._screen = pyte.Screen(_COLUMNS, _LINES)
        self._stream = pyte.ByteStream(self._screen)

    async def __aenter__(self) -> Self:
        # Not on Windows, where this file is loaded too.
        import fcntl
        import pty
        import termios

        self._end, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=self._folder,
            env=self._env,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        os.close(inner)
        asyncio.get_running_loop().add_reader(self._end, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._end)
        os.close(self._end)

    @property
    def shown(self) -> str:
        """What the screen shows."""
        return "\n".join(line.rstrip() for line in self._screen.display if line.strip())

    def press(self, keys: str) -> None:
        """Type something."""
        os.write(self._end, keys.encode())

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for something that the host brings about; fails at once where the host ends without."""
        try:
            await until(lambda: true() or self._process.returncode is not None, _SECONDS)
        finally:
            assert true(), self.shown

    async def enter(self, line: str) -> None:
        """Type a line. The key after it goes alone: in one piece with the line it would be part of a paste."""
        self.press(line)
        await self.shows(line)
        self.press("\r")

    async def shows(self, text: str) -> None:
        """Wait until the screen shows a text."""
        await self.until(lambda: text in self.shown)

    def _read(self) -> None:
        try:
            self._stream.feed(os.read(self._end, 65_536))
        except OSError:
            # The host has ended.
            asyncio.get_running_loop().remove_reader(self._end)
