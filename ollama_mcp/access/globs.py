"""Finding files by a pattern or in a folder, without learning anything about what may not be read."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import translate
from itertools import islice

from ollama_mcp.access.files import check_regular, missing
from ollama_mcp.access.handles import canonical_folder, open_folder, path_of_descriptor
from ollama_mcp.access.judgement import Judgement, Refusal
from ollama_mcp.access.purpose import Purpose
from ollama_mcp.access.rules import AccessRules
from ollama_mcp.access.spelling import absolute_path
from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import DiskError, InvalidArgument

MOST_COUNTED = 100_000
MOST_ENTRIES = 500_000
NOT_REGULAR = "no regular files"
NOT_OPENED = "in folders that cannot be opened"
_ANY_DEPTH = "**"
_MAGIC = re.compile(r"[*?[]")

_Name = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Found:
    """The files that a pattern means.

    Args:
        paths: Their real paths in the order of the text, at most as many as were asked for.
        total: How many there are; counting stops at 100,000.
        left_out: What the pattern met but may not give, as counts by reason; a folder counts once.
    """

    paths: tuple[str, ...]
    total: int
    left_out: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def note(self) -> str:
        """What was left out, as "3 hidden or program-owned, 1 named like a key"; "" where nothing was."""
        return ", ".join(f"{count} {reason}" for reason, count in sorted(self.left_out.items()))


def find(pattern: str, purpose: Purpose, rules: AccessRules, limit: int) -> Found:
    """Return the files that a pattern or a path means, as far as the rules let them be read.

    A path that exists is taken as it stands, whatever characters it has; a folder means all files below it. In a
    pattern `*`, `?` and `[...]` match within a name and `**` any number of folders. Links are followed where they
    stay in what may be read. Each file is judged once more by `open_file`. It does disk work and belongs in a thread.

    Args:
        pattern: An absolute path or `~/...`; for text also one relative to the project worked in.
        purpose: What the files are read for.
        rules: What may be read.
        limit: Most paths that are returned.

    Raises:
        InvalidArgument: The part before the first wildcard is not there, or too many entries had to be looked at.
        NotAllowed: That part may not be read; nothing was listed.
        DiskError: The folder cannot be opened.
    """
    rules.check_transport(pattern)
    path = absolute_path(pattern, rules.facts.home, rules.base(purpose))
    try:
        return _found(path, purpose, rules, limit)
    except FileNotFoundError:
        raise missing(path, purpose, rules) from None
    except OSError as error:
        raise _not_opened(path, error) from error


def _found(path: str, purpose: Purpose, rules: AccessRules, limit: int) -> Found:
    judgement = rules.judgement(purpose)
    real = os.path.realpath(path)
    if judgement.folder_refusal(real) is None and os.path.isdir(real):
        return _walked(real, (_ANY_DEPTH,), path, judgement, limit)
    if not _MAGIC.search(path) or (judgement.refusal(real) is None and os.path.lexists(path)):
        _judge_single(real, path, rules, judgement)
        check_regular(os.stat(real), path)
        return Found((real,), 1)
    prefix, parts = _split(path)
    real = os.path.realpath(prefix)
    rules.judge(os.path.join(real, "*"), purpose, asked=path)
    return _walked(real, parts, path, judgement, limit)


def _judge_single(real: str, path: str, rules: AccessRules, judgement: Judgement) -> None:
    # Whether something outside is a folder must not show: by its text a name without a suffix is taken for one.
    is_folder_like = not os.path.splitext(real)[1] and judgement.refusal(real) is Refusal.OUTSIDE
    rules.judge(os.path.join(real, "*") if is_folder_like else real, judgement.purpose, asked=path)


def _split(path: str) -> tuple[str, tuple[str, ...]]:
    """Split a pattern before its first part with a wildcard; of several `**` in a row one stays."""
    drive, rest = os.path.splitdrive(path)
    parts = [part for part in rest.split(os.sep) if part]
    first = next(number for number, part in enumerate(parts) if _MAGIC.search(part))
    wild = parts[first:]
    kept = [part for number, part in enumerate(wild) if part != _ANY_DEPTH or wild[number - 1 : number] != [_ANY_DEPTH]]
    return drive + os.sep + os.sep.join(parts[:first]), tuple(kept)


def _walked(folder: str, parts: tuple[str, ...], asked: str, judgement: Judgement, limit: int) -> Found:
    start = canonical_folder(folder)
    # Judged again: another folder may have taken its place since.
    if start is None or judgement.folder_refusal(start) is not None:
        raise InvalidArgument(
            f"{quoted(asked)} matches nothing: {quoted(folder)} is no folder that can be opened.",
            next_step="Check the path.",
        )
    walk = _Walk(parts, asked, judgement)
    walk.run(start)
    return Found(tuple(sorted(walk.found)[:limit]), len(walk.found), {str(key): n for key, n in walk.left_out.items()})


class _Walk:
    """One search. A state is the number of the pattern's part that the next name has to match.

    Each folder carries the set of its states and meets each state once: neither many `**` nor links in a circle make
    it work twice. `fnmatch` never goes back over a `*` once the text after it has matched, so its time is linear too.
    """

    def __init__(self, parts: tuple[str, ...], asked: str, judgement: Judgement) -> None:
        self.found: set[str] = set()
        self.left_out: Counter[str] = Counter()
        self._names: list[_Name | None] = [
            None if part == _ANY_DEPTH else re.compile(translate(os.path.normcase(part))).match for part in parts
        ]
        self._asked = asked
        self._judgement = judgement
        self._seen: dict[str, frozenset[int]] = {}
        self._entries = 0

    def run(self, start: str) -> None:
        """Look through a folder and those below it, in the order of their names."""
        waiting = [(start, self._closed({0}))]
        while waiting and len(self.found) < MOST_COUNTED:
            folder, states = waiting.pop()
            new = states - self._seen.get(folder, frozenset())
            if new:
                self._seen[folder] = self._seen.get(folder, frozenset()) | new
                waiting += reversed([*self._folders_in(folder, new)])

    def _closed(self, states: set[int]) -> frozenset[int]:
        """Add what comes after a `**`, which may also stand for no folder at all."""
        last = len(self._names) - 1
        return frozenset(states | {state + 1 for state in states if state < last and self._names[state] is None})

    def _after(self, name: str, states: frozenset[int]) -> tuple[bool, frozenset[int]]:
        """Tell whether a file of this name is meant, and with which states a folder of this name goes on."""
        name, last = os.path.normcase(name), len(self._names) - 1
        met = {state for state in states if (match := self._names[state]) is None or match(name)}
        onward = {state if self._names[state] is None else state + 1 for state in met}
        return last in met, self._closed(onward - {last + 1})

    def _folders_in(self, folder: str, states: frozenset[int]) -> Iterator[tuple[str, frozenset[int]]]:
        try:
            with _listed(folder) as entries:
                listed = sorted(islice(entries, MOST_ENTRIES + 1 - self._entries), key=lambda entry: entry.name)
                self._count(len(listed))
                for entry in listed:
                    is_meant, onward = self._after(entry.name, states)
                    if (is_meant or onward) and (real := self._met(entry, folder, is_meant)) and onward:
                        yield real, onward
        except OSError:
            self.left_out[NOT_OPENED] += 1

    def _met(self, entry: os.DirEntry[str], folder: str, is_meant: bool) -> str | None:
        """Note a file that is meant; return the real path of a folder, unless it may not be read."""
        path = os.path.join(folder, entry.name)
        if _is_link(entry):
            return self._link(path, is_meant)
        if entry.is_dir(follow_symlinks=False):
            return self._folder(path)
        if is_meant:
            self._file(path, entry.is_file(follow_symlinks=False))
        return None

    def _link(self, path: str, is_meant: bool) -> str | None:
        real = os.path.realpath(path)
        refusal = self._judgement.folder_refusal(path) or self._judgement.folder_refusal(real)
        if refusal is not None:
            # Of where it leads nothing is told, not even whether there is something.
            self.left_out[refusal] += 1
        elif os.path.isdir(real):
            return real
        elif is_meant:
            self._file(real, os.path.isfile(real))
        return None

    def _folder(self, path: str) -> str | None:
        refusal = self._judgement.folder_refusal(path)
        if refusal is not None:
            self.left_out[refusal] += 1
        return path if refusal is None else None

    def _file(self, path: str, is_regular: bool) -> None:
        refusal = self._judgement.refusal(path)
        if refusal is not None or not is_regular:
            self.left_out[refusal or NOT_REGULAR] += 1
        elif len(self.found) < MOST_COUNTED:
            self.found.add(path)

    def _count(self, entries: int) -> None:
        self._entries += entries
        if self._entries > MOST_ENTRIES:
            raise InvalidArgument(
                f"{quoted(self._asked)} goes through more than {MOST_ENTRIES:,} files and folders; "
                f"{len(self.found):,} that match were found so far.",
                next_step="Name a folder further down, or use fewer '**'.",
            )


@contextmanager
def _listed(folder: str) -> Generator[Iterator[os.DirEntry[str]]]:
    """List a folder by its descriptor, and only where it still is what its real path says.

    Raises:
        OSError: It cannot be opened, or another took its place.
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
    # Junctions of Windows are links by another name; Python 3.12 is the first to tell them.
    is_junction: Callable[[], bool] = getattr(entry, "is_junction", lambda: False)
    return entry.is_symlink() or is_junction()


def _not_opened(path: str, error: OSError) -> DiskError:
    return DiskError(
        f"{quoted(path)} could not be read: {error.strerror or 'unknown reason'}.",
        next_step="Check the file and its rights.",
    )
