"""Paths whose names are on the disk in another presentation than a call gives them.

macOS names screenshots with a narrow no-break space, and some systems decompose accents; models and users write the
plain forms. Only folders that may be read are listed, and the path that is found is checked like any other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice

from ollama_mcp.access.quoting import quoted, shortened
from ollama_mcp.access.read_rules import PathChecker
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.comparison import comparable, same_text

# Comparing takes time; in a larger folder only exact names are found.
_MAX_NAMES = 50_000
_SHOWN_CHARS = 60


def existing_path(path: str, make_checker: Callable[[], PathChecker]) -> str:
    """Return the path that is meant: itself if it exists, else the one whose names differ in presentation only.

    Args:
        path: A normalized absolute path.
        make_checker: Tells what may be listed; called only where the path does not exist.

    Returns:
        A path that may be listed; the given one where there is no other.

    Raises:
        InvalidArgument: Several are meant; the message shows how two of them differ.
    """
    try:
        if os.path.lexists(path):
            return path
        checker = make_checker()
        found = next(filter(None, (_found_below(folder.path, path, checker) for folder in checker.folders)), None)
        return found or path
    except OSError:
        # A link or folder went away during the look: opening the path says what is wrong with it.
        return path


def _found_below(folder: str, path: str, checker: PathChecker) -> str | None:
    """The path that is meant if it lies in a readable folder, whose own name may differ in presentation too."""
    # Links in the part that exists are followed, since readable folders are real paths.
    parts, above = _parts(os.path.realpath(path)), _parts(folder)
    if list(map(comparable, parts[: len(above)])) != list(map(comparable, above)):
        return None
    current = folder
    for position, part in enumerate(parts[len(above) :], start=len(above) + 1):
        name = _name_in(current, part, path, checker)
        if name is None:
            return None
        current = os.path.realpath(os.path.join(current, name))
        if position < len(parts) and not os.path.isdir(current):
            return None
    return current


def _name_in(folder: str, name: str, requested: str, checker: PathChecker) -> str | None:
    """The name in a folder that is meant; None where there is none that may be read."""
    if checker.folder_refusal(folder) is not None:
        return None
    try:
        if os.path.lexists(os.path.join(folder, name)):
            return name
        with os.scandir(folder) as entries:
            present = [entry.name for entry in islice(entries, _MAX_NAMES)]
    except OSError:
        return None
    # The error must not reveal a name that may not be read.
    same = sorted(other for other in same_text(name, present) if _is_readable(os.path.join(folder, other), checker))
    if len(same) > 1:
        raise _several_error(requested, same)
    return same[0] if same else None


def _is_readable(path: str, checker: PathChecker) -> bool:
    real = os.path.realpath(path)
    if checker.folder_refusal(real) is None and os.path.isdir(real):
        return True
    return checker.refusal(real) is None


def _parts(path: str) -> list[str]:
    return [part for part in path.split(os.sep) if part]


def _several_error(requested: str, names: list[str]) -> InvalidArgument:
    first, second = names[:2]
    at = next(place for place, (a, b) in enumerate(zip(f"{first}\0", f"{second}\0", strict=False)) if a != b)
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return InvalidArgument(
        f"{quoted(requested, 80)} may mean {_escaped(first, at)} or {_escaped(second, at)}{more}: no name is exactly "
        "so, and these look alike.",
        next_step="Give the exact name; \\u.... are characters as JSON escapes them.",
    )


def _escaped(name: str, at: int) -> str:
    """A name in ASCII; of a long one the part around the place where it differs."""
    shown = ascii(name)
    if len(shown) <= _SHOWN_CHARS:
        return shown
    # Up to ten characters for each: as many as escapes leave room for.
    start = max(0, at - 5)
    return shortened(f"...{name[start : at + 5]!a}...", 2 * _SHOWN_CHARS)
