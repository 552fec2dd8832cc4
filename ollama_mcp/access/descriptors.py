"""File descriptors: opening a file without side effects, and the real path of what was opened.

Between the check of a path and its opening, the path may come to lead elsewhere. So the file is opened first, and the
path of the open descriptor is checked: neither a symlink nor a race gets around that.
"""

from __future__ import annotations

import os
import sys
from typing import Any

# Does not block on a pipe, does not make a terminal the controlling one, and is not inherited by child processes.
_READ = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
)
# O_EXCL and O_NOFOLLOW: never an existing file, and never through a link.
NEW_FILE = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
)


def open_for_reading(path: str) -> int:
    """Open a path and return its descriptor; never waits for the other end of a pipe."""
    return os.open(path, _READ)


def open_folder(path: str) -> int:
    """Open a folder and return its descriptor. Windows has no descriptors of folders."""
    return os.open(path, _READ | os.O_DIRECTORY)


def path_of_descriptor(descriptor: int) -> str:
    """Return the real path of an open file: symlinks followed, on Windows also short names and junctions expanded.

    Raises:
        OSError: The system does not tell.
    """
    if sys.platform == "win32":  # pragma: no cover - Windows
        return _path_on_windows(descriptor)
    if sys.platform == "darwin":  # pragma: no cover - macOS
        return _path_on_macos(descriptor)
    return os.readlink(f"/proc/self/fd/{descriptor}")


def canonical_folder(folder: str) -> str | None:
    """Return the real path of a folder in the form of `path_of_descriptor`; None if it cannot be opened as a folder."""
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

    # F_GETPATH of fcntl(2), which not every Python names; the buffer is MAXPATHLEN bytes.
    path: Any = fcntl.fcntl(descriptor, 50, bytes(1024))
    return os.fsdecode(bytes(path).rstrip(b"\0"))


def _path_on_windows(descriptor: int) -> str:  # pragma: no cover - Windows
    import ctypes
    import importlib

    # Looked up at run time: type checkers on other systems do not know the Windows part of either module.
    handle: int = importlib.import_module("msvcrt").get_osfhandle(descriptor)
    get_path: Any = getattr(ctypes, "WinDLL")("kernel32", use_last_error=True).GetFinalPathNameByHandleW  # noqa: B009
    get_path.argtypes = [ctypes.c_void_p, ctypes.c_wchar_p, ctypes.c_uint32, ctypes.c_uint32]
    get_path.restype = ctypes.c_uint32
    buffer = ctypes.create_unicode_buffer(32_768)
    length: int = get_path(handle, buffer, len(buffer), 0)
    if not 0 < length < len(buffer):
        raise OSError("GetFinalPathNameByHandleW returned no path")
    if buffer.value.startswith("\\\\?\\UNC\\"):
        raise OSError("the file is on a network share")
    return buffer.value.removeprefix("\\\\?\\")
