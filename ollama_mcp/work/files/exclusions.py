"""Texts of `files` that begin with '!': patterns as in .gitignore, of files that the other texts do not mean."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate

from ollama_mcp.access import Access, FoundFiles
from ollama_mcp.access.path_syntax import SENT, absolute_path
from ollama_mcp.errors import InvalidArgument

MARK = "!"
_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One exclusion: a matcher for each part, None for `**`."""

    parts: tuple[Callable[[str], object] | None, ...]
    is_absolute: bool
    is_folder: bool

    def excludes(self, names: Sequence[str]) -> bool:
        """Whether it matches the file of these names, or a folder above it."""
        states = self._closure({0})
        for name in map(os.path.normcase, names[:-1] if self.is_folder else names):
            states = self._closure({after for state in states for after in self._after(state, name)})
            if len(self.parts) in states:
                return True
        return False

    def _after(self, state: int, name: str) -> Iterator[int]:
        part = self.parts[state]
        if part is None:
            yield state
        elif part(name):
            yield state + 1

    def _closure(self, states: set[int]) -> set[int]:
        """Add the state after each `**`, since `**` also matches no folder at all."""
        for state in tuple(states):
            while state < len(self.parts) and self.parts[state] is None:
                state += 1
                states.add(state)
        return states


class Exclusions:
    """The exclusions of one call, which hold for all its other texts wherever they stand.

    As in .gitignore: a name without a slash is excluded at any depth, a path from the project or from the folder that
    is searched, a folder with all that is below it, and one that ends in a slash is a folder. A path from the root or
    from '~' is that path.

    Raises:
        InvalidArgument: One is empty.
        OllamaMCPError: One is a path that is never opened.
    """

    def __init__(self, access: Access, specs: Sequence[str]) -> None:
        self._rules = access.read_rules
        self._home = self._rules.environment.home
        self._bases = [os.path.realpath(base) for base in self._rules.base_folders()]
        self._patterns = [self._parse(spec.removeprefix(MARK).strip()) for spec in specs]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def without(self, found: FoundFiles, searched: str) -> FoundFiles:
        """What is left of the files that a path or pattern leads to."""
        if not self._patterns:
            return found
        # Of several roots of the client, each may be the one that a relative path was found in.
        is_sent = searched.startswith(SENT)
        roots = [searched] if is_sent else [_searched_folder(path) for path in self._rules.possible_paths(searched)]
        kept = tuple(path for path in found.paths if not self._excludes(path, roots))
        return replace(found, paths=kept, total=found.total - len(found.paths) + len(kept))

    def _parse(self, text: str) -> _Pattern:
        path = text.replace("\\", "/") if os.sep == "\\" else text
        if not path.strip("/."):
            raise InvalidArgument(
                f"'{MARK}{text}' excludes nothing.", next_step="Write a path or pattern after the '!'."
            )
        is_absolute = path.startswith(("/", "~", "file:")) or os.path.isabs(path)
        if is_absolute:
            parts = _names(_real(absolute_path(text, self._home)))
        else:
            parts = [part for part in path.split("/") if part not in ("", ".")]
            # Only a slash before the last part ties it to a folder.
            parts = parts if "/" in path.rstrip("/") else ["**", *parts]
        matchers = tuple(
            None if part == "**" else re.compile(translate(os.path.normcase(part))).match for part in parts
        )
        return _Pattern(matchers, is_absolute, path.endswith("/"))

    def _excludes(self, path: str, roots: Sequence[str]) -> bool:
        below = [_below(path, folder) for folder in (*roots, *self._bases)]
        return any(
            pattern.excludes(names)
            for pattern in self._patterns
            for names in ([_names(path)] if pattern.is_absolute else below)
        )


def _names(path: str) -> list[str]:
    return path.split(os.sep)


def _below(path: str, folder: str) -> list[str]:
    """The names of a path below a folder; the name alone where it is the folder or elsewhere."""
    prefix = folder.rstrip(os.sep) + os.sep
    return _names(path.removeprefix(prefix)) if path.startswith(prefix) else [os.path.basename(path)]


def _real(path: str) -> str:
    """The path with links resolved in what stands before its first wildcard."""
    names = _names(path)
    first = next((number for number, name in enumerate(names) if _WILDCARD.search(name)), len(names))
    real = os.path.realpath(os.sep.join(names[:first]) or os.sep)
    return os.sep.join([real.rstrip(os.sep) if names[first:] else real, *names[first:]])


def _searched_folder(path: str) -> str:
    """The folder that is searched; of a file the one that it is in."""
    real = _real(path)
    if _WILDCARD.search(real):
        names = _names(real)
        first = next(number for number, name in enumerate(names) if _WILDCARD.search(name))
        return os.sep.join(names[:first]) or os.sep
    return real
