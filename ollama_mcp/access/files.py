"""The one place that opens a file that a call names."""

from __future__ import annotations

import difflib
import io
import os
import stat
from dataclasses import dataclass
from types import TracebackType

from ollama_mcp.access.handles import open_for_reading, path_of_descriptor
from ollama_mcp.access.purpose import Purpose
from ollama_mcp.access.rules import AccessRules
from ollama_mcp.access.spelling import absolute_path
from ollama_mcp.access.wording import quoted, shortened
from ollama_mcp.errors import DiskError, InvalidArgument, NotAllowed, OllamaMCPError

_MOST_NAMES_LOOKED_AT = 5_000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file that was opened, judged and found readable; a context manager that closes it.

    Args:
        path: Its real path.
        asked: The path as the call gave it.
        size: Its size in bytes when it was opened; a file may grow while it is read.
        allocated: Bytes that really lie on the disk; far fewer than `size` in a sparse file.
        stream: The open file, unbuffered.
    """

    path: str
    asked: str
    size: int
    allocated: int
    stream: io.FileIO

    def __enter__(self) -> OpenedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.close()

    def read(self, limit: int, *, setting: str) -> bytes:
        """Return the whole content, at most `limit` bytes of it.

        Args:
            limit: Most bytes that are read.
            setting: Name of the setting that gives the limit, for the error.

        Raises:
            InvalidArgument: The file is larger, or grew larger while it was read.
            DiskError: Reading failed.
        """
        parts: list[bytes] = []
        left, piece = limit + 1, self.size + 1
        try:
            # At once if it does not grow: many small parts would leave holes in the memory.
            while self.size <= limit and left and (part := self.stream.read(min(piece, left))):
                parts.append(part)
                left, piece = left - len(part), _CHUNK
        except OSError as error:
            raise _disk_error(self.asked, error) from error
        if self.size > limit or not left:
            raise InvalidArgument(
                f"{quoted(self.asked)} is larger than {limit / 1e6:g} MB (setting {setting}).",
                next_step="Give a smaller file, or raise the setting.",
            )
        return b"".join(parts)


def open_file(text: str, purpose: Purpose, rules: AccessRules) -> OpenedFile:
    """Open the file that a call's text names, if the rules let it be read for this purpose.

    What was opened is judged by its descriptor, so neither a symlink nor a race leads around the rules. It does disk
    work and belongs in a thread.

    Args:
        text: An absolute path, `~/...` or a `file://` URI; for text also one relative to the project worked in.
        purpose: What it is read for.
        rules: What may be read.

    Raises:
        InvalidArgument: No such file (the closest names in its folder are given), or it is a folder.
        NotAllowed: The rules forbid it; the same whether it exists or not.
        DiskError: The system would not open it.
    """
    rules.check_transport(text)
    path = absolute_path(text, rules.facts.home, rules.base(purpose))
    try:
        # A first judgement by name: nothing outside is even opened, and nobody learns whether it exists.
        rules.judge(os.path.realpath(path), purpose, asked=path)
        check_regular(os.stat(path), path)
        descriptor = open_for_reading(path)
    except FileNotFoundError:
        raise missing(path, purpose, rules) from None
    except OSError as error:
        raise _disk_error(path, error) from error
    stream = io.FileIO(descriptor, "rb")
    try:
        return _judged(stream, path, purpose, rules)
    except BaseException:
        stream.close()
        raise


def _judged(stream: io.FileIO, path: str, purpose: Purpose, rules: AccessRules) -> OpenedFile:
    status = os.fstat(stream.fileno())
    check_regular(status, path)
    if status.st_nlink == 0:
        raise InvalidArgument(f"{quoted(path)} was removed while it was opened.", next_step="Check the path.")
    try:
        real = path_of_descriptor(stream.fileno())
    except OSError as error:
        raise NotAllowed(f"{quoted(path)} is not read: the system does not tell where it really lies.") from error
    rules.judge(real, purpose, asked=path, status=status)
    allocated: int = getattr(status, "st_blocks", -1) * 512
    return OpenedFile(real, path, status.st_size, allocated if allocated >= 0 else status.st_size, stream)


def check_regular(status: os.stat_result, path: str) -> None:
    """Refuse what is no regular file.

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


def missing(path: str, purpose: Purpose, rules: AccessRules) -> OllamaMCPError:
    """Return the error for a file that is not there, with the closest names that may be read."""
    names = closest_names(path, purpose, rules)
    hint = f"Closest there: {', '.join(quoted(name, 40) for name in names)}." if names else "Check the path."
    if purpose is Purpose.IMAGE and "*" in path:
        hint = f"Patterns are taken in files only. {hint}"
    return InvalidArgument(f"There is no file {quoted(path)}.", next_step=hint)


def closest_names(path: str, purpose: Purpose, rules: AccessRules) -> list[str]:
    """Return up to three names in a missing file's folder that resemble its own; none that may not be read."""
    folder, name = os.path.split(path)
    try:
        with os.scandir(folder) as entries:
            present = [entry.name for entry, _ in zip(entries, range(_MOST_NAMES_LOOKED_AT), strict=False)]
    except OSError:
        return []
    lower = {other.lower(): other for other in present}
    similar = difflib.get_close_matches(name.lower(), lower, n=6, cutoff=0.6)
    return [lower[other] for other in similar if _may_be_named(os.path.join(folder, lower[other]), purpose, rules)][:3]


def _may_be_named(path: str, purpose: Purpose, rules: AccessRules) -> bool:
    try:
        rules.judge(os.path.realpath(path), purpose, asked=path, status=os.stat(path))
    except (NotAllowed, OSError):
        return False
    return True


def _disk_error(path: str, error: OSError) -> DiskError:
    return DiskError(
        f"{quoted(path)} could not be read: {shortened(error.strerror or type(error).__name__)}.",
        next_step="Check the file and its rights.",
    )
