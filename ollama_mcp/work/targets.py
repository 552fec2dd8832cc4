"""What the `files` of a call mean: paths, globs and folders looked up, addresses noted, doubles united."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ollama_mcp.access import Access, FolderNotAllowed, Found, Purpose
from ollama_mcp.access.spelling import WINDOWS
from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.work.lines import WHOLE, Range, split_range, united

_WILD = re.compile(r"[*?\[]")
_ADDRESS = re.compile(r"https?:", re.IGNORECASE)
_IMAGE_NAMES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".ico", ".avif", ".heic", ".heif")


@dataclass(slots=True)
class Target:
    """One file to read.

    Args:
        path: Real path, or address.
        asked: The text of the call that it comes from.
        ranges: In order, apart from each other; `WHOLE` is the whole file.
        purpose: The rules that it is read by.
        is_swept: Whether a folder or a pattern led to it, not its own name: what is no text is then passed over.
    """

    path: str
    asked: str
    ranges: list[Range]
    purpose: Purpose = Purpose.TEXT
    is_swept: bool = False

    @property
    def is_address(self) -> bool:
        """Whether it is fetched."""
        return _ADDRESS.match(self.path) is not None

    @property
    def wants_images(self) -> bool:
        """Whether an image here was meant, and not met by chance."""
        return not self.is_swept or _names_images(self.asked)


@dataclass(slots=True)
class Located:
    """The files that are meant, in order; what could not be looked up; what the rules left out, as counts by text."""

    targets: list[Target] = field(default_factory=list[Target])
    failed: list[tuple[str, OllamaMCPError]] = field(default_factory=list[tuple[str, OllamaMCPError]])
    left_out: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


def locate(access: Access, specs: Sequence[str], *, most: int) -> Located:
    """Find the files that the texts of a call mean; a file that is named twice comes once, with all its lines.

    It does disk work and belongs in a thread.

    Args:
        access: What may be read.
        specs: Paths, globs, folders, `file://` URIs, each perhaps with lines (`path:10-80`), and http(s) addresses.
        most: Most files.

    Raises:
        InvalidArgument: There are more.
    """
    located = Located()
    known: dict[str, Target] = {}
    total = 0
    for spec in specs:
        try:
            found, targets = _targets(access, spec.strip(), most)
        except OllamaMCPError as error:
            located.failed.append((spec, error))
            continue
        if found.left_out and targets:
            located.left_out.append((spec, found.note))
        # What lies beyond the limit was not listed, so doubles among it cannot be told.
        total += found.total - len(found.paths)
        for target in targets:
            if target.path in known:
                _unite(known[target.path], target)
            else:
                known[target.path] = target
                located.targets.append(target)
        if total + len(known) > most:
            raise too_many(total + len(known), most)
    return located


def too_many(count: int, most: int) -> InvalidArgument:
    """Return the error for more files than go into one call."""
    return InvalidArgument(
        f"{count:,} files were given; at most {most:,} go into one call (setting limits.files).",
        next_step="Name fewer, or a narrower pattern; ollama_batch takes any number.",
    )


def _targets(access: Access, spec: str, most: int) -> tuple[Found, Iterable[Target]]:
    if _ADDRESS.match(spec):
        return Found((spec,), 1), [Target(spec, spec, [WHOLE])]
    find = partial(_find, access, most=most)
    # A file that really has such a name wins. On Windows that spelling is a hidden stream of the file before the colon.
    if not WINDOWS and not _WILD.search(spec) and re.search(r":[\d-]+$", spec):
        try:
            found, purpose = find(spec)
            return found, _as_targets(found, spec, WHOLE, purpose)
        except OllamaMCPError:
            pass
    path, lines = split_range(spec) or (spec, WHOLE)
    found, purpose = find(path)
    if not found.total:
        left_out = f"; left out: {found.note}" if found.left_out else ""
        raise InvalidArgument(
            f"{quoted(path)} matches no file that may be read (0 found{left_out}).", next_step="Check the pattern."
        )
    return found, _as_targets(found, path, lines, purpose)


def _find(access: Access, path: str, *, most: int) -> tuple[Found, Purpose]:
    try:
        return access.find(path, Purpose.TEXT, most), Purpose.TEXT
    except FolderNotAllowed:
        # Images may be read in more places; that it is one is proven before it goes anywhere.
        if not _names_images(path):
            raise
        try:
            return access.find(path, Purpose.IMAGE, most), Purpose.IMAGE
        except OllamaMCPError:
            pass
        raise


def _as_targets(found: Found, asked: str, lines: Range, purpose: Purpose) -> list[Target]:
    is_swept = found.total > 1 or _WILD.search(asked) is not None
    return [Target(path, asked, [lines], purpose, is_swept) for path in found.paths]


def _unite(target: Target, other: Target) -> None:
    target.ranges = united([*target.ranges, *other.ranges])
    if not other.is_swept:
        target.is_swept = False


def _names_images(text: str) -> bool:
    return os.path.splitext(text)[1].lower() in _IMAGE_NAMES
