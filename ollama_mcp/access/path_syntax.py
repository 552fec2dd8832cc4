"""Checks of a path's text, before any system call sees it.

On Windows, merely opening `\\\\host\\share` sends the user's password hash to that host, and names such as `NUL` or
`a.png:stream` lead to devices and alternate data streams. So these are refused by their text, on every system.
"""

from __future__ import annotations

import ntpath
import os
import re
import sys
from urllib.parse import unquote

from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import InvalidArgument, NotAllowed

MAX_PATH_CHARS = 4096
SENT = "upload:"
"""Begins what names a file that was sent over HTTP; as a path it would be an alternate data stream."""
IS_WINDOWS = sys.platform == "win32"

_DRIVE = re.compile(r"[A-Za-z]:")
# Windows takes `nul.txt` and `nul ` for the device, too.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:[ .].*)?", re.IGNORECASE)
# Even regular files there expose the kernel or a process: /proc/self/environ holds the API keys of this one.
SYSTEM_TREES = ("/proc", "/sys", "/dev")


def absolute_path(text: str, home: str, base: str | None = None) -> str:
    """Return the normalized absolute path that a call names: a path, `~/...` or a `file://` URI.

    Args:
        text: The path as the call gave it.
        home: The user's home, for `~`.
        base: Folder that relative paths start from; without it they are refused.

    Raises:
        InvalidArgument: The text is empty, too long, relative without a base, or has control characters.
        NotAllowed: It names a network share, a device, an alternate data stream or a system file.
    """
    path = text.strip()
    if path[:5].lower() == "file:":
        path = path_of_file_uri(path)
    _check_characters(path)
    # After the URI was decoded: file:////host/share is a share too.
    if path[:2] in ("\\\\", "//", "\\/", "/\\"):
        raise NotAllowed(
            f"{quoted(text)} is a network share or a device; these are never opened.",
            next_step="Copy the file to a local folder and give that path.",
        )
    path = _expand_home(path, home)
    # An absolute POSIX path is exempt: a file there may be named `con` or `a:b`.
    if _DRIVE.match(path) or not os.path.isabs(path):
        _check_windows_syntax(path)
    if base is not None and not os.path.isabs(path):
        path = os.path.join(base, path)
    if not os.path.isabs(path):
        raise InvalidArgument(
            f"{quoted(text)} is not an absolute path.",
            next_step="Give the whole path, from the root or from '~'.",
        )
    # By the text alone, so that `..` cannot hide a system path.
    path = os.path.normpath(path)
    if is_system_path(path):
        raise NotAllowed(
            f"{quoted(text)} is a system file (/proc, /sys, /dev); no setting allows reading these.",
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
            f"{quoted(uri)} names a file on another host; only files on this machine are read.",
            next_step="Write file:///path with three slashes, or give the plain path.",
        )
    path = unquote(rest)
    # file:///C:/x has a slash before the drive.
    return path[1:] if _DRIVE.match(path[1:]) else path


def is_system_path(path: str) -> bool:
    """Return whether an absolute path is, or lies below, /proc, /sys or /dev."""
    return any(path == tree or path.startswith(f"{tree}/") for tree in SYSTEM_TREES)


def is_device_name(part: str) -> bool:
    """Return whether a part of a path is a device name on Windows, which holds in any folder and with any ending."""
    return _DEVICE.fullmatch(part) is not None


def has_control_characters(path: str) -> bool:
    """Return whether a path has control characters, or surrogates, which UTF-8 cannot encode."""
    return any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in path)


def _check_characters(path: str) -> None:
    if not path:
        raise InvalidArgument("The path is empty.", next_step="Give the absolute path of a file.")
    if len(path) > MAX_PATH_CHARS:
        raise InvalidArgument(
            f"The path has {len(path)} characters; at most {MAX_PATH_CHARS} are allowed.",
            next_step="Give the absolute path of a file.",
        )
    if has_control_characters(path):
        raise InvalidArgument(
            f"The path {quoted(path)} has control characters.", next_step="Give the path as the system shows it."
        )


def _expand_home(path: str, home: str) -> str:
    if not path.startswith("~"):
        return path
    if path == "~" or path[1] in "/\\":
        return os.path.join(home, path[2:])
    raise InvalidArgument(
        f"{quoted(path)} names another user's home.", next_step="Give the absolute path, or one that starts with '~/'."
    )


def _check_windows_syntax(path: str) -> None:
    drive, rest = ntpath.splitdrive(path)
    parts = [part for part in re.split(r"[\\/]", rest) if part]
    if ":" in rest or any(is_device_name(part) for part in parts):
        raise NotAllowed(
            f"{quoted(path)} is a device or an alternate data stream; these are never opened.",
            next_step="Give the path of an ordinary file.",
        )
    # `C:a.png` is relative to the current folder of that drive.
    if drive and (not IS_WINDOWS or rest[:1] not in ("\\", "/")):
        raise InvalidArgument(
            f"{quoted(path)} is not an absolute path on this system.",
            next_step="Give the whole path, from the root.",
        )
