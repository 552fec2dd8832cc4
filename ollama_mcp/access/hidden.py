"""What counts as hidden: by its name, by a mark of the system, or because programs keep their own things there."""

from __future__ import annotations

import os
import stat

from ollama_mcp.access.surroundings import is_inside

# Folders of home where programs keep secrets without hiding them by name.
PROGRAM_FOLDERS = frozenset({"library", "appdata", "application data", "local settings", "snap", "node_modules"})

_HAS_MARKS = any(hasattr(os.stat_result, mark) for mark in ("st_flags", "st_file_attributes"))


def is_hidden(real: str, folder: str, home: str) -> bool:
    """Tell whether a file is hidden, or in a hidden or program-owned folder.

    Args:
        real: The real path of the file, whether it exists or not.
        folder: Real path of the allowed folder around it; what lies above it was the user's choice.
        home: Real path of the user's home.
    """
    below = _parts_below(real, folder)
    if any(part.startswith(".") for part in below) or (_HAS_MARKS and _any_marked_hidden(folder, below)):
        return True
    if not is_inside(real, home):
        return False
    first = _parts_below(real, home)[:1]
    return bool(first) and first[0].lower() in PROGRAM_FOLDERS and not is_inside(folder, os.path.join(home, *first))


def is_marked_hidden(status: object) -> bool:
    """Tell whether a file's status carries the hidden mark of macOS or the hidden or system mark of Windows."""
    flags: int = getattr(status, "st_flags", 0)
    attributes: int = getattr(status, "st_file_attributes", 0)
    marks = stat.FILE_ATTRIBUTE_HIDDEN | stat.FILE_ATTRIBUTE_SYSTEM
    return bool(flags & stat.UF_HIDDEN or attributes & marks)


def _parts_below(path: str, folder: str) -> list[str]:
    return [part for part in path[len(folder) :].split(os.sep) if part]


def _any_marked_hidden(folder: str, below: list[str]) -> bool:  # pragma: no cover - macOS, Windows
    path = folder
    for part in below:
        path = os.path.join(path, part)
        try:
            if is_marked_hidden(os.lstat(path)):
                return True
        except OSError:
            return False
    return False
