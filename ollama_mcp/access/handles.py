"""Opening a file without side effects, and asking the system what was opened.

Judging a path and opening it are two steps, between which the path may come to lead elsewhere. So the file is opened
first, and the path of the open descriptor is judged: no symlink and no race gets around that.
"""

from __future__ import annotations

import os
import sys
from typing import Any

# Without blocking on a pipe, without making a terminal ours, without leaking into child processes.
_READ = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
)


def open_for_reading(path: str) -> int:
    """Open a path and return the descriptor; never waits for the other end of a pipe."""
    return os.open(path, _READ)


def open_folder(path: str) -> int:
    """Open a folder and return the descriptor; not on Windows, which has none of folders."""
    return os.open(path, _READ | os.O_DIRECTORY)


def path_of_descriptor(descriptor: int) -> str:
    """Return the real path of an open file: symlinks followed, on Windows short names and junctions expanded.

    Raises:
        OSError: The system does not say.
    """
    if sys.platform == "win32":  # pragma: no cover - Windows
        return _path_on_windows(descriptor)
    if sys.platform == "darwin":  # pragma: no cover - macOS
        return _path_on_macos(descriptor)
    return os.readlink(f"/proc/self/fd/{descriptor}")


def canonical_folder(folder: str) -> str | None:
    """Return the real path of a folder as `path_of_descriptor` spells it; None if it is no folder one can open."""
    try:
        if sys.platform == "win32":  # pragma: no cover - Windows
            return os.path.realpath(folder, strict=True) if os.path.isdir(folder) else None
        descriptor = open_folder(folder)
        try:
            return path_of_descriptor(descriptor)
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return None


def _path_on_macos(descriptor: int) -> str:  # pragma: no cover - macOS
    import fcntl

    # F_GETPATH of fcntl(2), which the module does not name on every Python; the buffer is MAXPATHLEN bytes.
    answer: Any = fcntl.fcntl(descriptor, 50, bytes(1024))
    return os.fsdecode(bytes(answer).rstrip(b"\0"))


def _path_on_windows(descriptor: int) -> str:  # pragma: no cover - Windows
    import ctypes
    import importlib

    # Looked up at run time: neither module's Windows half exists for type checkers of other systems.
    handle: int = importlib.import_module("msvcrt").get_osfhandle(descriptor)
    get_path: Any = getattr(ctypes, "WinDLL")("kernel32", use_last_error=True).GetFinalPathNameByHandleW  # noqa: B009
    get_path.argtypes = [ctypes.c_void_p, ctypes.c_wchar_p, ctypes.c_uint32, ctypes.c_uint32]
    get_path.restype = ctypes.c_uint32
    buffer = ctypes.create_unicode_buffer(32_768)
    length: int = get_path(handle, buffer, len(buffer), 0)
    if not 0 < length < len(buffer):
        raise OSError("GetFinalPathNameByHandleW gave no path")
    if buffer.value.startswith("\\\\?\\UNC\\"):
        raise OSError("the file lies on a network share")
    return buffer.value.removeprefix("\\\\?\\")
