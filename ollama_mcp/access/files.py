"""Opens the files that a call names, after checking what was really opened."""

from __future__ import annotations

import difflib
import io
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from ollama_mcp.access.descriptors import open_for_reading, path_of_descriptor
from ollama_mcp.access.quoting import quoted, shortened
from ollama_mcp.access.read_rules import Purpose, ReadRules
from ollama_mcp.access.similar_names import existing_path
from ollama_mcp.errors import DiskError, InvalidArgument, NotAllowed, OllamaMCPError

# Comparing names takes time; a larger folder gives suggestions from a part of it.
_MAX_NAMES_COMPARED = 5_000
_CHUNK_BYTES = 1 << 20
# How long a file may be written again without another time of change.
_FINE_NS, _COARSE_NS = 50_000_000, 2_000_000_000


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file that was opened and may be read; a context manager that closes it.

    Args:
        path: Its real path.
        requested: The path as the call gave it.
        size: Its size in bytes when it was opened; a file may grow while it is read.
        allocated: Bytes that really lie on the disk; far fewer than `size` in a sparse file.
        stream: The open file, unbuffered.
    """

    path: str
    requested: str
    size: int
    allocated: int
    stream: io.FileIO

    def __enter__(self) -> OpenedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        self.stream.close()

    def read(self, limit: int, *, setting: str) -> bytes:
        """Return the whole content.

        Args:
            limit: The most bytes that the file may have.
            setting: Name of the setting that gives the limit, for the error message.

        Raises:
            InvalidArgument: The file is larger, or grew larger while it was read.
            DiskError: Reading failed.
        """
        parts: list[bytes] = []
        left, piece = limit + 1, self.size + 1
        try:
            # One read unless the file grows: many small parts would fragment the memory.
            while self.size <= limit and left and (part := self.stream.read(min(piece, left))):
                parts.append(part)
                left, piece = left - len(part), _CHUNK_BYTES
        except OSError as error:
            raise read_failed(self.requested, error) from error
        if self.size > limit or not left:
            raise InvalidArgument(
                f"{quoted(self.requested)} is larger than {limit / 1e6:g} MB (setting {setting}).",
                next_step="Give a smaller file, or raise the setting.",
            )
        return b"".join(parts)


def open_file(text: str, purpose: Purpose, rules: ReadRules) -> OpenedFile:
    """Open the file that a call names, if the rules allow reading it for this purpose.

    The check that counts is of the open descriptor, so neither a symlink nor a race leads around the rules. Does disk
    work: call it in a thread.

    Args:
        text: An absolute path, `~/...` or a `file://` URI; or a path relative to a root of the client or, if it
            declares none, to the project in the working folder.
        purpose: What it is read for.
        rules: What may be read.

    Raises:
        InvalidArgument: There is no such file (the message gives the closest names in its folder), or it is a folder.
        NotAllowed: The rules forbid it; the message is the same whether it exists or not.
        DiskError: The system could not open it.
    """
    rules.check_transport(text)
    path = existing_path(rules.resolve(text), lambda: rules.checker(purpose))
    try:
        # A first check by path: nothing outside is even opened, and the error does not reveal whether it exists.
        rules.check(os.path.realpath(path), purpose, requested=path)
        check_regular_file(os.stat(path), path)
        descriptor = open_for_reading(path)
    except FileNotFoundError:
        raise file_not_found(path, purpose, rules) from None
    except OSError as error:
        raise read_failed(path, error) from error
    stream = io.FileIO(descriptor, "rb")
    try:
        return _checked(stream, path, purpose, rules)
    except BaseException:
        stream.close()
        raise


def _checked(stream: io.FileIO, path: str, purpose: Purpose, rules: ReadRules) -> OpenedFile:
    status = os.fstat(stream.fileno())
    check_regular_file(status, path)
    # A removed file has no path any more that could be checked.
    if status.st_nlink == 0:
        raise InvalidArgument(f"{quoted(path)} was removed while it was opened.", next_step="Check the path.")
    try:
        real = path_of_descriptor(stream.fileno())
    except OSError as error:
        raise NotAllowed(f"{quoted(path)} is not read: the system does not tell its real path.") from error
    rules.check(real, purpose, requested=path, status=status)
    # In units of 512 bytes whatever the block size; Windows has no such field.
    allocated: int = getattr(status, "st_blocks", -1) * 512
    return OpenedFile(real, path, status.st_size, allocated if allocated >= 0 else status.st_size, stream)


def stamps(paths: Sequence[str], purpose: Purpose, rules: ReadRules) -> dict[str, str]:
    """Return a text for each file that changes when the file is written; only of files that may be read.

    Files that were written a moment ago have none: a second write might leave the same times.

    Args:
        paths: Real paths, as `find` returns them.
        purpose: What they would be read for.
        rules: What may be read.
    """
    checker, now = rules.checker(purpose), time.time_ns()
    found: dict[str, str] = {}
    for path in paths:
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode) or checker.refusal(path, status) is not None:
            continue
        # Where times are whole seconds (FAT: two), a moment is as long.
        is_coarse = not status.st_mtime_ns % 1_000_000_000
        if now - status.st_mtime_ns > (_COARSE_NS if is_coarse else _FINE_NS):
            times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
            found[path] = f"{status.st_size} {times} {status.st_ino} {status.st_dev}"
    return found


def check_regular_file(status: os.stat_result, path: str) -> None:
    """Refuse what is not a regular file.

    Raises:
        InvalidArgument: It is a folder.
        NotAllowed: It is a pipe, a socket or a device.
    """
    if stat.S_ISDIR(status.st_mode):
        raise InvalidArgument(f"{quoted(path)} is a folder.", next_step="Give a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise NotAllowed(
            f"{quoted(path)} is a pipe, a socket or a device; only regular files are read.",
            next_step="Give an ordinary file.",
        )


def file_not_found(path: str, purpose: Purpose, rules: ReadRules) -> OllamaMCPError:
    """Return the error for a file that does not exist, with the closest names that may be read."""
    names = _closest_names(path, purpose, rules)
    hint = f"Closest names there: {', '.join(quoted(name, 40) for name in names)}." if names else "Check the path."
    if purpose is Purpose.IMAGE and "*" in path:
        hint = f"Patterns are accepted in files only. {hint}"
    return InvalidArgument(f"There is no file {quoted(path)}.", next_step=hint)


def read_failed(path: str, error: OSError) -> DiskError:
    """Return the error for a file or folder that the system could not read."""
    return DiskError(
        f"{quoted(path)} could not be read: {shortened(error.strerror or type(error).__name__)}.",
        next_step="Check the file and its permissions.",
    )


def _closest_names(path: str, purpose: Purpose, rules: ReadRules) -> list[str]:
    """Return up to three names in a missing file's folder that resemble its own and may be read."""
    folder, name = os.path.split(path)
    try:
        with os.scandir(folder) as entries:
            present = [entry.name for entry, _ in zip(entries, range(_MAX_NAMES_COMPARED), strict=False)]
    except OSError:
        return []
    by_lower_case = {other.lower(): other for other in present}
    similar = difflib.get_close_matches(name.lower(), by_lower_case, n=6, cutoff=0.6)
    names = [by_lower_case[other] for other in similar]
    # A suggestion must not reveal a file that may not be read.
    return [other for other in names if _may_be_read(os.path.join(folder, other), purpose, rules)][:3]


def _may_be_read(path: str, purpose: Purpose, rules: ReadRules) -> bool:
    try:
        rules.check(os.path.realpath(path), purpose, requested=path, status=os.stat(path))
    except (NotAllowed, OSError):
        return False
    return True
