"""Finds files by a pattern or in a folder, without revealing anything about what may not be read."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import translate
from itertools import islice

from ollama_mcp.access.descriptors import canonical_folder, open_folder, path_of_descriptor
from ollama_mcp.access.files import check_regular_file, file_not_found, read_failed
from ollama_mcp.access.left_out import DEPENDENCIES, IGNORED, LEFT_OUT, IgnoreRules, is_dependency_folder, is_marked
from ollama_mcp.access.quoting import quoted
from ollama_mcp.access.read_rules import PathChecker, Purpose, ReadRules, Refusal
from ollama_mcp.access.similar_names import existing_path
from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.formats.comparison import comparable

MAX_FILES = 100_000
MAX_ENTRIES = 500_000
NOT_REGULAR = "not regular files"
NOT_OPENED = "in folders that cannot be opened"
_ANY_DEPTH = "**"
_WILDCARD = re.compile(r"[*?[]")

_Match = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files that match a pattern.

    Args:
        paths: Their real paths in alphabetical order, at most as many as were asked for.
        total: How many there are; counting stops at 100,000.
        skipped: What matched but may not be read, as counts by reason; a folder counts once.
    """

    paths: tuple[str, ...]
    total: int
    skipped: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def note(self) -> str:
        """What was skipped, as in "3 hidden or program-owned, 1 named like a key"; "" if nothing was."""
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(self.skipped.items()))
        hint = " (named in the path, they are read)" if self.skipped.keys() & LEFT_OUT else ""
        return f"{counts}{hint}"

    @property
    def has_refused(self) -> bool:
        """Whether something was skipped that may not be read, and not only what searches leave out."""
        return bool(self.skipped.keys() - LEFT_OUT)


def find(pattern: str, purpose: Purpose, rules: ReadRules, limit: int) -> FoundFiles:
    """Return the files that match a pattern or path, as far as the rules allow reading them.

    A path that exists is taken literally, whatever characters it has; a folder stands for all files below it. In a
    pattern `*`, `?` and `[...]` match within a name, and `**` matches any number of folders. Where folders are searched
    at any depth, those of dependencies and builds and what .gitignore excludes are left out, unless the pattern has
    their names. Links are followed if they stay within what may be read. `open_file` checks each file once more. Does
    disk work: call it in a thread.

    Args:
        pattern: An absolute path or `~/...`, or one relative to the first root of the client that has a match; if it
            declares none, to the project in the working folder.
        purpose: What the files are read for.
        rules: What may be read.
        limit: The maximum number of paths returned.

    Raises:
        InvalidArgument: The part before the first wildcard does not exist, or the search met too many entries.
        NotAllowed: That part may not be read; nothing was listed.
        DiskError: The folder cannot be opened.
    """
    rules.check_transport(pattern)
    paths = rules.possible_paths(pattern)
    path = next((path for path in paths if len(paths) > 1 and _matches(path, purpose, rules)), paths[0])
    try:
        return _find(path, purpose, rules, limit)
    except FileNotFoundError:
        raise file_not_found(path, purpose, rules) from None
    except OSError as error:
        raise read_failed(path, error) from error


def _matches(path: str, purpose: Purpose, rules: ReadRules) -> bool:
    try:
        return bool(_find(path, purpose, rules, 1).total)
    except (OllamaMCPError, OSError):
        return False


def _find(path: str, purpose: Purpose, rules: ReadRules, limit: int) -> FoundFiles:
    checker = rules.checker(purpose)
    if not _WILDCARD.search(path):
        path = existing_path(path, lambda: checker)
    real = os.path.realpath(path)
    # Whether a path is a folder is asked only where it may be read, so that the answer reveals nothing.
    if checker.folder_refusal(real) is None and os.path.isdir(real):
        return _walk(real, (_ANY_DEPTH,), path, checker, limit)
    # A file that exists is taken literally, even if its name looks like a pattern: report[1].txt.
    if not _WILDCARD.search(path) or (checker.refusal(real) is None and os.path.lexists(path)):
        _check_single(real, path, rules, checker)
        check_regular_file(os.stat(real), path)
        return FoundFiles((real,), 1)
    prefix, parts = _split(path)
    real = os.path.realpath(existing_path(prefix, lambda: checker))
    rules.check(os.path.join(real, "*"), purpose, requested=path)
    return _walk(real, parts, path, checker, limit)


def _check_single(real: str, path: str, rules: ReadRules, checker: PathChecker) -> None:
    # The error must not reveal whether a path outside is a folder: a name without a suffix is always taken for one.
    is_folder_like = not os.path.splitext(real)[1] and checker.refusal(real) is Refusal.OUTSIDE
    rules.check(os.path.join(real, "*") if is_folder_like else real, checker.purpose, requested=path)


def _split(path: str) -> tuple[str, tuple[str, ...]]:
    """Split a pattern before its first part with a wildcard; repeated `**` in a row become one."""
    drive, rest = os.path.splitdrive(path)
    parts = [part for part in rest.split(os.sep) if part]
    first = next(number for number, part in enumerate(parts) if _WILDCARD.search(part))
    wild = parts[first:]
    kept = [part for number, part in enumerate(wild) if part != _ANY_DEPTH or wild[number - 1 : number] != [_ANY_DEPTH]]
    return drive + os.sep + os.sep.join(parts[:first]), tuple(kept)


def _walk(folder: str, parts: tuple[str, ...], requested: str, checker: PathChecker, limit: int) -> FoundFiles:
    start = canonical_folder(folder)
    # Checked again: the folder may have been replaced since.
    if start is None or checker.folder_refusal(start) is not None:
        raise InvalidArgument(
            f"{quoted(requested)} matches nothing: {quoted(folder)} is not a folder that can be opened.",
            next_step="Check the path.",
        )
    walk = _PatternWalk(parts, requested, checker)
    walk.run(start)
    skipped = {str(reason): count for reason, count in walk.skipped.items()}
    return FoundFiles(tuple(sorted(walk.found)[:limit]), len(walk.found), skipped)


class _PatternWalk:
    """One search, run as a nondeterministic automaton over the parts of the pattern.

    A state is the index of the part that the next name must match. Each folder is visited with a set of states and
    meets each state once, so neither many `**` nor circular links make the walk repeat itself. `fnmatch` never
    backtracks over a `*` once the text after it has matched, so matching a name takes linear time.
    """

    def __init__(self, parts: tuple[str, ...], requested: str, checker: PathChecker) -> None:
        self.found: set[str] = set()
        self.skipped: Counter[str] = Counter()
        # One matcher for each part; None stands for `**`.
        self._matchers: list[_Match | None] = [
            None if part == _ANY_DEPTH else _matcher(os.path.normcase(part)) for part in parts
        ]
        # Names that the pattern has literally: what it names is not left out.
        self._named = frozenset(part for part in parts if not _WILDCARD.search(part))
        self._ignored: IgnoreRules | None = None
        self._start = ""
        self._requested = requested
        self._checker = checker
        # The states that each folder was visited with.
        self._seen: dict[str, frozenset[int]] = {}
        self._entries = 0

    def run(self, start: str) -> None:
        """Search a folder and those below it, in the order of their names."""
        self._start = start
        if None in self._matchers:
            self._ignored = IgnoreRules(start, self._checker)
        pending = [(start, self._closure({0}))]
        while pending and len(self.found) < MAX_FILES:
            folder, states = pending.pop()
            new = states - self._seen.get(folder, frozenset())
            if new:
                self._seen[folder] = self._seen.get(folder, frozenset()) | new
                # Reversed, since the next folder is taken from the end.
                pending += reversed([*self._scan(folder, new)])

    def _closure(self, states: set[int]) -> frozenset[int]:
        """Add the state after each `**`, since `**` also matches no folder at all."""
        last = len(self._matchers) - 1
        return frozenset(states | {state + 1 for state in states if state < last and self._matchers[state] is None})

    def _advance(self, name: str, states: frozenset[int]) -> tuple[bool, frozenset[int]]:
        """Return whether a file of this name matches, and the states for a folder of this name."""
        name, last = os.path.normcase(name), len(self._matchers) - 1
        matching = {state for state in states if (match := self._matchers[state]) is None or match(name)}
        onward = {state if self._matchers[state] is None else state + 1 for state in matching}
        return last in matching, self._closure(onward - {last + 1})

    def _scan(self, folder: str, states: frozenset[int]) -> Iterator[tuple[str, frozenset[int]]]:
        """Visit the entries of a folder; yield the folders to search next, with their states."""
        try:
            with _scandir(folder) as entries:
                listed = sorted(islice(entries, MAX_ENTRIES + 1 - self._entries), key=lambda entry: entry.name)
                self._count_entries(len(listed))
                names = {entry.name for entry in listed}
                if self._is_left_out_by_content(folder, names):
                    return
                for entry in listed:
                    is_match, onward = self._advance(entry.name, states)
                    if not (is_match or onward) or self._is_left_out(entry, folder, names, is_match=is_match):
                        continue
                    if (real := self._visit(entry, folder, is_match)) and onward:
                        yield real, onward
        except OSError:
            self.skipped[NOT_OPENED] += 1

    def _is_left_out(self, entry: os.DirEntry[str], folder: str, beside: set[str], *, is_match: bool) -> bool:
        """Return whether a search at any depth leaves an entry out, and count it."""
        if self._ignored is None or entry.name in self._named:
            return False
        path, is_folder = os.path.join(folder, entry.name), entry.is_dir(follow_symlinks=False)
        if (is_folder or _is_link(entry)) and is_dependency_folder(entry.name, beside):
            reason = DEPENDENCIES
        elif (is_folder or is_match) and self._ignored.ignores(path, is_folder=is_folder):
            reason = IGNORED
        else:
            return False
        # What may not be read is counted as that.
        if (self._checker.folder_refusal(path) if is_folder else self._checker.refusal(path)) is not None:
            return False
        self.skipped[reason] += 1
        return True

    def _is_left_out_by_content(self, folder: str, names: set[str]) -> bool:
        """Return whether a folder is marked as a cache or a virtual environment; else note what it ignores."""
        if self._ignored is None:
            return False
        if folder != self._start and os.path.basename(folder) not in self._named and is_marked(names):
            self.skipped[DEPENDENCIES] += 1
            return True
        if ".gitignore" in names:
            self._ignored.read(folder)
        return False

    def _visit(self, entry: os.DirEntry[str], folder: str, is_match: bool) -> str | None:
        """Record a file that matches; return the real path of a folder that may be read."""
        path = os.path.join(folder, entry.name)
        if _is_link(entry):
            return self._visit_link(path, is_match)
        if entry.is_dir(follow_symlinks=False):
            return self._visit_folder(path)
        if is_match:
            self._visit_file(path, entry.is_file(follow_symlinks=False))
        return None

    def _visit_link(self, path: str, is_match: bool) -> str | None:
        real = os.path.realpath(path)
        refusal = self._checker.folder_refusal(path) or self._checker.folder_refusal(real)
        if refusal is not None:
            # Counted whatever the target is: nothing about it may be revealed, not even whether it exists.
            self.skipped[refusal] += 1
        elif os.path.isdir(real):
            return real
        elif is_match:
            self._visit_file(real, os.path.isfile(real))
        return None

    def _visit_folder(self, path: str) -> str | None:
        refusal = self._checker.folder_refusal(path)
        if refusal is not None:
            self.skipped[refusal] += 1
        return path if refusal is None else None

    def _visit_file(self, path: str, is_regular: bool) -> None:
        refusal = self._checker.refusal(path)
        if refusal is not None or not is_regular:
            self.skipped[refusal or NOT_REGULAR] += 1
        elif len(self.found) < MAX_FILES:
            self.found.add(path)

    def _count_entries(self, count: int) -> None:
        self._entries += count
        if self._entries > MAX_ENTRIES:
            raise InvalidArgument(
                f"{quoted(self._requested)} covers more than {MAX_ENTRIES:,} files and folders; "
                f"{len(self.found):,} that match were found so far.",
                next_step="Name a folder further down, or use fewer '**'.",
            )


def _matcher(pattern: str) -> _Match:
    """A matcher of names, exactly or in another presentation."""
    exact, folded = re.compile(translate(pattern)).match, comparable(pattern)
    # A character that becomes a wildcard, or a set of characters, would change what the pattern says.
    if "[" in pattern or _WILDCARD.findall(folded) != _WILDCARD.findall(pattern):
        return exact
    loose = re.compile(translate(folded)).match
    return lambda name: exact(name) or (not (name.isascii() and pattern.isascii()) and loose(comparable(name)))


@contextmanager
def _scandir(folder: str) -> Generator[Iterator[os.DirEntry[str]]]:
    """List a folder by its descriptor, once the descriptor has proved to be that of the checked path.

    Raises:
        OSError: It cannot be opened, or another folder took its place.
    """
    if os.scandir not in os.supports_fd:  # pragma: no cover - Windows
        with os.scandir(folder) as entries:
            yield entries
        return
    descriptor = open_folder(folder)
    try:
        if path_of_descriptor(descriptor) != folder:
            raise OSError("another folder took its place")
        with os.scandir(descriptor) as entries:
            yield entries
    finally:
        os.close(descriptor)


def _is_link(entry: os.DirEntry[str]) -> bool:
    # Junctions are the links of Windows; `is_junction` exists since Python 3.12.
    is_junction: Callable[[], bool] = getattr(entry, "is_junction", lambda: False)
    return entry.is_symlink() or is_junction()
