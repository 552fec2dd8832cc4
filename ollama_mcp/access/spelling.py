"""Checks of a path's text, before any system call sees it.

On Windows the mere opening of `\\\\host\\share` sends the user's password hash to that host, and names such as `NUL` or
`a.png:stream` lead to devices and hidden streams: the text alone must refuse them, and it does so on every system.
"""

from __future__ import annotations

import ntpath
import os
import re
import sys
from urllib.parse import unquote

from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import InvalidArgument, NotAllowed

LONGEST_PATH = 4096
WINDOWS = sys.platform == "win32"

_DRIVE = re.compile(r"[A-Za-z]:")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:[ .].*)?", re.IGNORECASE)
# Regular files there are windows into the kernel (/proc/self/environ holds the keys of this process).
SYSTEM_TREES = ("/proc", "/sys", "/dev")


def absolute_path(text: str, home: str, base: str | None = None) -> str:
    """Return the absolute path that a call's text means: a path, `~/...` or a `file://` URI.

    Args:
        text: The text of the call.
        home: The user's home, for `~`.
        base: Folder that relative paths start from; without it they are refused.

    Raises:
        InvalidArgument: The text is empty, too long, relative without a base, or has control characters.
        NotAllowed: It spells a network share, a device or an alternate stream.
    """
    path = text.strip()
    if path[:5].lower() == "file:":
        path = path_of_file_uri(path)
    _check_characters(path)
    if path[:2] in ("\\\\", "//", "\\/", "/\\"):
        raise NotAllowed(
            f"{quoted(text)} spells a network share or a device; these are never opened.",
            next_step="Copy the file to a local folder and give that path.",
        )
    path = _expanded(path, home)
    if _DRIVE.match(path) or not os.path.isabs(path):
        _check_windows_spelling(path)
    if base is not None and not os.path.isabs(path):
        path = os.path.join(base, path)
    if not os.path.isabs(path):
        raise InvalidArgument(
            f"{quoted(text)} is not an absolute path.", next_step="Give the whole path, from the root or from '~'."
        )
    path = os.path.normpath(path)
    if is_system_path(path):
        raise NotAllowed(
            f"{quoted(text)} belongs to the system (/proc, /sys, /dev) and is never read; no setting changes that.",
            next_step="Give an ordinary file.",
        )
    return path


def path_of_file_uri(uri: str) -> str:
    """Return the path in a `file:` URI (RFC 8089).

    Raises:
        NotAllowed: The URI names another host, which would open a network share.
    """
    rest = uri[len("file:") :]
    host = ""
    if rest.startswith("//"):
        host, _, rest = rest[2:].partition("/")
        rest = f"/{rest}"
    if host.lower() not in ("", "localhost"):
        raise NotAllowed(
            f"{quoted(uri)} names a file of another host; only files of this machine are read.",
            next_step="Write file:///path with three slashes, or the plain path.",
        )
    path = unquote(rest)
    return path[1:] if _DRIVE.match(path[1:]) else path


def is_system_path(path: str) -> bool:
    """Tell whether an absolute path lies in a tree of kernel files and devices."""
    return any(path == tree or path.startswith(f"{tree}/") for tree in SYSTEM_TREES)


def is_device_name(part: str) -> bool:
    """Tell whether a part of a path is a device on Windows, in whichever folder and with whichever ending."""
    return _DEVICE.fullmatch(part) is not None


def has_control_characters(path: str) -> bool:
    """Tell whether a path has control characters, or halves of surrogate pairs that no file name can have."""
    return any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in path)


def _check_characters(path: str) -> None:
    if not path:
        raise InvalidArgument("The path is empty.", next_step="Give the absolute path of a file.")
    if len(path) > LONGEST_PATH:
        raise InvalidArgument(
            f"The path has {len(path)} characters; at most {LONGEST_PATH} are possible.",
            next_step="Give the absolute path of a file.",
        )
    if has_control_characters(path):
        raise InvalidArgument(
            f"The path {quoted(path)} has control characters.", next_step="Give the path as the system shows it."
        )


def _expanded(path: str, home: str) -> str:
    if not path.startswith("~"):
        return path
    if path == "~" or path[1] in "/\\":
        return os.path.join(home, path[2:])
    raise InvalidArgument(
        f"{quoted(path)} names another user's home.", next_step="Give the absolute path, or one that starts with '~/'."
    )


def _check_windows_spelling(path: str) -> None:
    drive, rest = ntpath.splitdrive(path)
    parts = [part for part in re.split(r"[\\/]", rest) if part]
    if ":" in rest or any(is_device_name(part) for part in parts):
        raise NotAllowed(
            f"{quoted(path)} spells a device or an alternate data stream; these are never opened.",
            next_step="Give the path of an ordinary file.",
        )
    if drive and (not WINDOWS or rest[:1] not in ("\\", "/")):
        raise InvalidArgument(
            f"{quoted(path)} is no absolute path of this system.", next_step="Give the whole path, from the root."
        )
