"""Properties of folders that decide whether they may be read or written: nesting, breadth, project, hidden."""

from __future__ import annotations

import os
import stat

# Files and folders that mark the root of a project.
PROJECT_MARKERS = (
    ".git",
    ".hg",
    "pyproject.toml",
    "setup.py",
    "package.json",
    "Cargo.toml",
    "go.mod",
    "pom.xml",
    "build.gradle",
    "Gemfile",
    "composer.json",
    "CMakeLists.txt",
    "Makefile",
)
# Folders below home where programs keep secrets although the names are not hidden.
PROGRAM_FOLDERS = frozenset({"library", "appdata", "application data", "local settings", "snap", "node_modules"})
_SYSTEM_FOLDERS = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var"),
    *("/System", "/Library", "/Applications", "/private/etc"),
    *("C:\\Windows", "C:\\Program Files", "C:\\Program Files (x86)", "C:\\ProgramData"),
)
# Linux has no hidden attribute, so there a path costs no `lstat` for each of its parts.
_HAS_HIDDEN_ATTRIBUTE = any(hasattr(os.stat_result, name) for name in ("st_flags", "st_file_attributes"))


def is_inside(path: str, folder: str) -> bool:
    """Return whether a path is a folder or lies below it, by whole parts: `/home/me2` is not inside `/home/me`."""
    path, folder = os.path.normcase(path), os.path.normcase(folder)
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def is_too_broad(folder: str, home: str) -> bool:
    """Return whether a canonical folder is a file-system root, a system folder, home itself or a parent of home.

    MCP hosts start servers in such places by accident ("/" on macOS, System32 on Windows), and a client may declare one
    as a root.
    """
    is_root = os.path.dirname(folder) == folder
    # A home below a system folder, such as /root or /var/lib/someone, is still a home.
    is_system = any(is_inside(folder, system) for system in _SYSTEM_FOLDERS) and not is_inside(folder, home)
    return is_root or is_system or is_inside(home, folder)


def is_project(folder: str, home: str) -> bool:
    """Return whether a folder, or a parent of it below home, holds a project file or a repository."""
    while True:
        if any(os.path.lexists(os.path.join(folder, marker)) for marker in PROJECT_MARKERS):
            return True
        parent = os.path.dirname(folder)
        # Home itself is not looked at: a marker there would make every folder below it a project.
        if parent == home or not is_inside(parent, home):
            return False
        folder = parent


def is_hidden(real: str, folder: str, home: str) -> bool:
    """Return whether a file is hidden, or lies in a hidden or program-owned folder.

    Args:
        real: The real path of the file, whether it exists or not.
        folder: Real path of the allowed folder around it. Its own parents may be hidden: the user chose it.
        home: Real path of the user's home.
    """
    below = _parts_below(real, folder)
    if any(part.startswith(".") for part in below) or (_HAS_HIDDEN_ATTRIBUTE and _any_marked_hidden(folder, below)):
        return True
    if not is_inside(real, home):
        return False
    first = _parts_below(real, home)[:1]
    return bool(first) and first[0].lower() in PROGRAM_FOLDERS and not is_inside(folder, os.path.join(home, *first))


def is_marked_hidden(status: object) -> bool:
    """Return whether a file's status has the hidden flag of macOS, or the hidden or system attribute of Windows."""
    flags: int = getattr(status, "st_flags", 0)
    attributes: int = getattr(status, "st_file_attributes", 0)
    hidden = stat.FILE_ATTRIBUTE_HIDDEN | stat.FILE_ATTRIBUTE_SYSTEM
    return bool(flags & stat.UF_HIDDEN or attributes & hidden)


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
            # What does not exist has no attributes, and nothing exists below it.
            return False
    return False
