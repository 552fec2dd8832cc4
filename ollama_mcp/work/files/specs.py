"""The `files` argument resolved: paths, globs, folders, `file://` URIs and addresses become a list of files to read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ollama_mcp.access import Access, FolderNotAllowed, FoundFiles, Purpose
from ollama_mcp.access.globs import MAX_FILES
from ollama_mcp.access.path_syntax import IS_WINDOWS
from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.work.files.exclusions import MARK, Exclusions
from ollama_mcp.work.files.line_ranges import WHOLE_FILE, LineRange, merge_ranges, split_line_range

_WILDCARD = re.compile(r"[*?\[]")
_URL = re.compile(r"https?:", re.IGNORECASE)
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".ico", ".avif", ".heic", ".heif")


@dataclass(slots=True)
class FileTarget:
    """One file to read.

    Args:
        path: Real path, or address.
        spec: The text of the call that it comes from.
        ranges: As `merge_ranges` returns them; `WHOLE_FILE` alone is the whole file.
        purpose: The access rules under which it is read.
        is_from_pattern: Whether a folder or glob led to it and not its own name; what is not text is then skipped.
    """

    path: str
    spec: str
    ranges: list[LineRange]
    purpose: Purpose = Purpose.TEXT
    is_from_pattern: bool = False

    @property
    def is_url(self) -> bool:
        """Whether it is fetched."""
        return _URL.match(self.path) is not None

    @property
    def may_be_image(self) -> bool:
        """Whether an image here was asked for: by its own name, or by a pattern of image files."""
        return not self.is_from_pattern or _has_image_suffix(self.spec)


@dataclass(slots=True)
class ResolvedSpecs:
    """What the texts of a call stand for.

    Args:
        targets: The files, in the order of the call.
        failed: Texts that could not be resolved, with the error.
        excluded: Texts of which some files are left out, with the kind of the reason and the counts in words.
    """

    targets: list[FileTarget] = field(default_factory=list[FileTarget])
    failed: list[tuple[str, OllamaMCPError]] = field(default_factory=list[tuple[str, OllamaMCPError]])
    excluded: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


def resolve_specs(
    access: Access, specs: Sequence[str], *, max_files: int, setting: str = "limits.files"
) -> ResolvedSpecs:
    """Find the files that the texts of a call stand for; blocking, call it in a thread.

    A file that is named twice comes once, with all its line ranges.

    Args:
        access: What may be read.
        specs: Paths, globs, folders, `file://` URIs, each perhaps with lines (`path:10-80`), and http(s) addresses;
            and texts that begin with '!', see `Exclusions`.
        max_files: Limit for all of them together.
        setting: Which one it is.

    Raises:
        InvalidArgument: There are more files, or all are excluded.
    """
    resolved = ResolvedSpecs()
    known: dict[str, FileTarget] = {}
    unlisted = 0
    exclusions = Exclusions(access, [spec.strip() for spec in specs if spec.strip().startswith(MARK)])
    given = [spec for spec in specs if not spec.strip().startswith(MARK)]
    if exclusions and not given:
        raise InvalidArgument(
            "files only says what to exclude.", next_step="Name what to read too, such as '**/*.py'; '!' excludes."
        )
    for spec in given:
        try:
            found, targets = _resolve(access, spec.strip(), max_files, exclusions)
        except OllamaMCPError as error:
            resolved.failed.append((spec, error))
            continue
        if found.skipped and targets:
            kind = "not_allowed" if found.has_refused else "invalid_argument"
            resolved.excluded.append((spec, f"[{kind}] left out: {found.note}"))
        # Files beyond the limit are counted but not listed, so duplicates among them stay undetected.
        unlisted += found.total - len(found.paths)
        for target in targets:
            if target.path in known:
                _merge(known[target.path], target)
            else:
                known[target.path] = target
                resolved.targets.append(target)
        if unlisted + len(known) > max_files:
            raise too_many_files(unlisted + len(known), max_files, setting)
    if exclusions and not resolved.targets and not resolved.failed:
        raise InvalidArgument(
            f"All files of {quoted(given[0])} are excluded by the texts that begin with '{MARK}'.",
            next_step="Exclude less; a name without a slash is excluded in every folder.",
        )
    return resolved


def too_many_files(count: int, max_files: int, setting: str = "limits.files") -> InvalidArgument:
    """Return the error for more files than one call may have."""
    return InvalidArgument(
        f"{count:,} files were given; at most {max_files:,} are allowed in one call (setting {setting}).",
        next_step="Name fewer, or a narrower pattern"
        + ("; ollama_batch takes any number." if setting == "limits.files" else ", or raise the setting."),
    )


def _resolve(
    access: Access, spec: str, max_files: int, exclusions: Exclusions
) -> tuple[FoundFiles, Iterable[FileTarget]]:
    if _URL.match(spec):
        return FoundFiles((spec,), 1), [FileTarget(spec, spec, [WHOLE_FILE])]
    # What is excluded must not count, so all is listed first.
    find = partial(_find, access, max_files=MAX_FILES if exclusions else max_files)
    # A file whose real name looks like a range wins. On Windows that syntax is an alternate data stream of the file
    # before the colon, and must not be opened.
    if not IS_WINDOWS and not _WILDCARD.search(spec) and re.search(r":[\d-]+$", spec):
        try:
            found, purpose = find(spec)
            kept = exclusions.without(found, spec)
            return kept, _targets(kept, spec, WHOLE_FILE, purpose, is_from_pattern=found.total > 1)
        except OllamaMCPError:
            pass
    path, lines = split_line_range(spec) or (spec, WHOLE_FILE)
    found, purpose = find(path)
    if not found.total:
        excluded = f"; left out: {found.note}" if found.skipped else ""
        raise InvalidArgument(
            f"{quoted(path)} matches no file that may be read (0 found{excluded}).", next_step="Check the pattern."
        )
    is_from_pattern = found.total > 1 or _WILDCARD.search(path) is not None
    kept = exclusions.without(found, path)
    return kept, _targets(kept, path, lines, purpose, is_from_pattern=is_from_pattern)


def _find(access: Access, path: str, *, max_files: int) -> tuple[FoundFiles, Purpose]:
    try:
        return access.find(path, Purpose.TEXT, max_files), Purpose.TEXT
    except FolderNotAllowed:
        # More folders are open to images than to text. The suffix is only a hint: content is checked when it is read.
        if not _has_image_suffix(path):
            raise
        try:
            return access.find(path, Purpose.IMAGE, max_files), Purpose.IMAGE
        except OllamaMCPError:
            pass
        raise


def _targets(
    found: FoundFiles, spec: str, lines: LineRange, purpose: Purpose, *, is_from_pattern: bool
) -> list[FileTarget]:
    return [FileTarget(path, spec, [lines], purpose, is_from_pattern) for path in found.paths]


def _merge(target: FileTarget, other: FileTarget) -> None:
    target.ranges = merge_ranges([*target.ranges, *other.ranges])
    if not other.is_from_pattern:
        target.is_from_pattern = False


def _has_image_suffix(text: str) -> bool:
    return os.path.splitext(text)[1].lower() in _IMAGE_SUFFIXES
