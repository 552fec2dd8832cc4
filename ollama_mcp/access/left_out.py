"""What a search through all folders leaves out: dependencies, build results, and what .gitignore files exclude."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator

from ollama_mcp.access.read_rules import PathChecker
from ollama_mcp.formats.gitignore import GitIgnore

DEPENDENCIES = "dependency or build folders"
IGNORED = "ignored by .gitignore"
LEFT_OUT = frozenset({DEPENDENCIES, IGNORED})
_GITIGNORE = ".gitignore"
_MAX_BYTES = 256 * 1024

# Only programs make folders of these names.
_DEPENDENCY_FOLDERS = frozenset(
    {"node_modules", "bower_components", "jspm_packages", "site-packages", "__pycache__", "__pypackages__", "venv"}
)
# People use these names too: they count where a file beside them shows the program that makes them.
_NPM, _PYTHON, _GRADLE = {"package.json"}, {"pyproject.toml", "setup.py"}, {"build.gradle", "build.gradle.kts"}
_BUILD_FOLDERS: dict[str, Collection[str]] = {
    "target": {"Cargo.toml", "pom.xml", "build.sbt"},
    "build": _NPM | _PYTHON | _GRADLE | {"CMakeLists.txt", "meson.build", "pubspec.yaml"},
    "dist": _NPM | _PYTHON,
    "vendor": {"go.mod", "composer.json", "Gemfile"},
    "Pods": {"Podfile"},
    "deps": {"mix.exs"},
    "_build": {"mix.exs", "dune-project"},
}
# Files that mark the folder that they are in: a virtual environment, a cache (https://bford.info/cachedir/).
_MARKERS = ("pyvenv.cfg", "CACHEDIR.TAG")


def is_dependency_folder(name: str, beside: Collection[str]) -> bool:
    """Return whether a folder holds dependencies or build results, by its name and the names beside it."""
    return name in _DEPENDENCY_FOLDERS or any(marker in beside for marker in _BUILD_FOLDERS.get(name, ()))


def is_marked(names: Collection[str]) -> bool:
    """Return whether a folder with these names in it is marked as a virtual environment or a cache."""
    return any(marker in names for marker in _MARKERS)


class IgnoreRules:
    """The .gitignore files of the folders of a search.

    Args:
        start: Real path of the folder that the search starts in. What excludes the folder itself does not count, since
            the call names it; then neither does what else the files above it exclude.
        checker: What may be read.
    """

    def __init__(self, start: str, checker: PathChecker) -> None:
        self._files: dict[str, GitIgnore] = {}
        for folder in _folders_above(start, checker):
            self.read(folder)
        if any(self.ignores(part, is_folder=True) for part in _with_parents(start)):
            self._files.clear()

    def read(self, folder: str) -> None:
        """Read the file in a folder, if there is one."""
        if (text := _read_text(os.path.join(folder, _GITIGNORE))) is not None:
            self._files[folder] = GitIgnore(text)

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Return whether the files in the folders above a path exclude it; the closest that is about it decides."""
        if not self._files:
            return False
        names = [os.path.basename(path)]
        for folder in _with_parents(os.path.dirname(path)):
            if (file := self._files.get(folder)) and (found := file.ignores(names, is_folder=is_folder)) is not None:
                return found
            names.insert(0, os.path.basename(folder))
        return False


def _folders_above(start: str, checker: PathChecker) -> list[str]:
    """The folders from the repository's own to the one above the start; none where there is no repository."""
    above: list[str] = []
    for folder in _with_parents(start):
        if checker.folder_refusal(folder) is not None:
            return []
        above.append(folder)
        if os.path.lexists(os.path.join(folder, ".git")):
            return above[1:]
    return []


def _with_parents(folder: str) -> Iterator[str]:
    while True:
        yield folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return
        folder = parent


def _read_text(path: str) -> str | None:
    # Its content is shown to nobody: it can only make the result smaller.
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return (file.read(_MAX_BYTES) or b"").decode("utf-8", "replace")
