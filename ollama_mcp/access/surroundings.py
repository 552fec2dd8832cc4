"""The facts about this process and its client on which the rules depend."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass

# What makes a folder a project, to be looked for in the working folder and its parents below home.
PROJECT_MARKS = (
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
_SYSTEM_FOLDERS = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var"),
    *("/System", "/Library", "/Applications", "/private/etc"),
    *("C:\\Windows", "C:\\Program Files", "C:\\Program Files (x86)", "C:\\ProgramData"),
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where this process runs, for whom, and who is asking.

    Args:
        home: The user's home folder.
        working_folder: The folder the server was started in.
        temp_folders: Folders for temporary files, which other users of the machine may share.
        roots: Paths of the folders that a client on stdio declared.
        over_http: Whether the call came by an HTTP transport.
        has_token: Whether that HTTP client showed a valid token.
    """

    home: str
    working_folder: str
    temp_folders: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    over_http: bool = False
    has_token: bool = False

    @classmethod
    def of_this_process(cls) -> Surroundings:
        """Return the facts of the running process: a client on stdio without declared roots."""
        temp = dict.fromkeys((tempfile.gettempdir(), *(("/tmp",) if os.name == "posix" else ())))
        return cls(home=os.path.expanduser("~"), working_folder=os.getcwd(), temp_folders=tuple(temp))


def is_inside(path: str, folder: str) -> bool:
    """Tell whether a path is a folder or lies below it, by parts: `/home/me2` is not inside `/home/me`."""
    path, folder = os.path.normcase(path), os.path.normcase(folder)
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def is_too_wide(folder: str, home: str) -> bool:
    """Tell whether a canonical folder is a file-system root, a system folder, home itself or a parent of home.

    Hosts start servers in such places by accident ("/" on macOS, System32 on Windows), and a declared root may be one.
    """
    is_root = os.path.dirname(folder) == folder
    is_system = any(is_inside(folder, system) for system in _SYSTEM_FOLDERS) and not is_inside(folder, home)
    return is_root or is_system or is_inside(home, folder)


def is_project(folder: str, home: str) -> bool:
    """Tell whether a folder, or a parent of it below home, holds a project's file or repository."""
    while True:
        if any(os.path.lexists(os.path.join(folder, mark)) for mark in PROJECT_MARKS):
            return True
        parent = os.path.dirname(folder)
        if parent == home or not is_inside(parent, home):
            return False
        folder = parent
