"""Files that clients on HTTP have sent: kept for a while, for whoever sent them, under names that nobody can guess.

On the disk each has the name `FOLDER/.<digest of the principal's name>/<id>.<its own name, encoded>`: what a client
chose as a name is never a path, and the rules of other files take these for hidden. A file that is not whole yet ends
in `.part`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import re
import stat
import time
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from ollama_mcp.access.descriptors import NEW_FILE, open_for_reading
from ollama_mcp.access.files import OpenedFile, read_failed
from ollama_mcp.access.globs import FoundFiles
from ollama_mcp.access.path_syntax import SENT
from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import InvalidArgument

_ID_BYTES = 10
_ID = re.compile(r"[a-z2-7]{16}")
_PART = ".part"
# What is received has changed more recently, however slowly it comes.
_PART_SECONDS = 3_600
_MAX_NAME_CHARS = 80
_MAX_SUFFIX_CHARS = 12
# Beside letters and digits; without what means lines, patterns, exclusions or folders in the argument `files`.
_NAME_CHARACTERS = frozenset(" ._-()+,=@&")
_WILDCARD = re.compile(r"[*?]")


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that was sent.

    Args:
        id: Tells it from all others.
        name: As its sender named it.
        size: In bytes.
        sent_at: Seconds since 1970.
        path: Where it is on the disk.
    """

    id: str
    name: str
    size: int
    sent_at: float
    path: str

    @property
    def reference(self) -> str:
        """What calls name it by."""
        return f"{SENT}{self.id}/{self.name}"


@dataclass(frozen=True, slots=True)
class SentFiles:
    """The files that one principal has sent. Does disk work: call it in a thread.

    Args:
        folder: The folder of all principals.
        owner: The principal's name.
        keep_seconds: Age at which a file is gone.
    """

    folder: str
    owner: str
    keep_seconds: float

    @property
    def own_folder(self) -> str:
        """The folder of this principal."""
        digest = hashlib.sha256(self.owner.encode("utf-8", "surrogatepass")).hexdigest()
        return os.path.join(self.folder, f".{digest[:32]}")

    def listed(self) -> list[SentFile]:
        """What there is, the newest first."""
        oldest = time.time() - self.keep_seconds
        return sorted(
            (file for file in _entries(self.own_folder) if file.sent_at > oldest),
            key=lambda file: (-file.sent_at, file.id),
        )

    def find(self, text: str, limit: int) -> FoundFiles:
        """The files that a reference means: one by its id, the newest of a name, or all whose name fits a pattern.

        Raises:
            InvalidArgument: There is none; the same where another principal has it.
        """
        found = self._matching(text)
        paths = tuple(file.reference for file in found)
        return FoundFiles(paths[:limit], len(paths))

    def open(self, text: str) -> OpenedFile:
        """Open the file that a reference means.

        Raises:
            InvalidArgument: There is none, or several are meant.
            DiskError: The system could not open it.
        """
        found = self._matching(text)
        if len(found) > 1:
            raise InvalidArgument(f"{quoted(text)} means {len(found)} files.", next_step="Give the name of one.")
        reference = found[0].reference
        try:
            stream = io.FileIO(open_for_reading(found[0].path), "rb")
        except FileNotFoundError:
            raise self._unknown(text, []) from None
        except OSError as error:
            raise read_failed(reference, error) from error
        status = os.fstat(stream.fileno())
        allocated: int = getattr(status, "st_blocks", -1) * 512
        return OpenedFile(reference, reference, status.st_size, max(allocated, 0) or status.st_size, stream)

    def begin(self) -> IncomingFile:
        """Begin a file.

        Raises:
            OSError: As the system says.
        """
        for _ in range(3):
            os.makedirs(self.own_folder, mode=0o700, exist_ok=True)
            # `tidy` of another process may remove an empty folder just then.
            with suppress(FileNotFoundError):
                return IncomingFile(self.own_folder)
        return IncomingFile(self.own_folder)

    def delete(self, file_id: str) -> bool:
        """Delete a file; whether there was one of that id."""
        for file in self.listed():
            if file.id == file_id:
                with suppress(FileNotFoundError):
                    os.unlink(file.path)
                    return True
        return False

    def _matching(self, text: str) -> list[SentFile]:
        name = unicodedata.normalize("NFC", text.strip().removeprefix(SENT))
        listed = self.listed()
        for file in listed:
            if name in (file.id, f"{file.id}/{file.name}") or file.name == name:
                return [file]
        found = [file for file in listed if fnmatchcase(file.name, name)] if _WILDCARD.search(name) else []
        if not found:
            raise self._unknown(text, [file.name for file in listed])
        return found

    @staticmethod
    def _unknown(text: str, names: list[str]) -> InvalidArgument:
        close = get_close_matches(text.strip().removeprefix(SENT), names, n=3)
        there = f"There are: {', '.join(quoted(name, 40) for name in close)}. " if close else ""
        return InvalidArgument(
            f"There is no file {quoted(text)} that was sent with this token; it may have expired.",
            next_step=f"{there}GET /files lists them, POST /files sends one.",
        )


class IncomingFile:
    """A file that is being received: at the end whole under its name, or not at all. Call it in threads.

    Args:
        folder: Where it will be.
    """

    def __init__(self, folder: str) -> None:
        self.id = base64.b32encode(os.urandom(_ID_BYTES)).decode().lower()
        self._folder = folder
        self._path = os.path.join(folder, f"{self.id}{_PART}")
        self._stream: io.FileIO | None = io.FileIO(os.open(self._path, NEW_FILE, 0o600), "wb")

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            OSError: The disk is full, or another reason of the system.
        """
        assert self._stream is not None
        rest = memoryview(data)
        while rest:
            rest = rest[self._stream.write(rest) :]

    def publish(self, name: str) -> SentFile:
        """End it under a name, which `clean_name` has returned.

        Raises:
            OSError: As the system says.
        """
        assert self._stream is not None
        os.fsync(self._stream.fileno())
        status = os.fstat(self._stream.fileno())
        self._stream.close()
        path = os.path.join(self._folder, f"{self.id}.{_encoded(name)}")
        os.rename(self._path, path)
        self._stream = None
        return SentFile(self.id, name, status.st_size, status.st_mtime, path)

    def discard(self) -> None:
        """Remove what is there of a file that was not published."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            with suppress(OSError):
                os.unlink(self._path)


def clean_name(text: str) -> str:
    """A name of the last part of a path that a client gave, without what could mean something else in a call."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", text))[-1]
    kept = "".join(one if one.isalnum() or one in _NAME_CHARACTERS else "_" for one in last)
    stem, suffix = os.path.splitext(kept.strip(" ."))
    if len(suffix) > _MAX_SUFFIX_CHARS:
        stem, suffix = stem + suffix, ""
    # Cut once more by bytes: a file's name, encoded, has to fit a file system.
    stem = stem[: _MAX_NAME_CHARS - len(suffix)].encode()[:120].decode(errors="ignore").rstrip()
    return f"{stem or 'file'}{suffix}"


def tidy(folder: str, keep_seconds: float) -> None:
    """Remove what has expired in the folder of all principals, and what a process that ended has left unfinished."""
    now = time.time()
    for own in _scanned(folder):
        if not own.name.startswith(".") or not own.is_dir(follow_symlinks=False):
            continue
        for entry in _scanned(own.path):
            with suppress(OSError):
                age = now - entry.stat(follow_symlinks=False).st_mtime
                if age > (min(_PART_SECONDS, keep_seconds) if entry.name.endswith(_PART) else keep_seconds):
                    os.unlink(entry.path)
        # Only where it is empty.
        with suppress(OSError):
            os.rmdir(own.path)


def _entries(folder: str) -> Iterator[SentFile]:
    for entry in _scanned(folder):
        file_id, _, encoded = entry.name.partition(".")
        if not _ID.fullmatch(file_id) or entry.name.endswith(_PART):
            continue
        # It may be deleted meanwhile, and whatever else lies there is none of ours.
        with suppress(OSError, ValueError):
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                yield SentFile(file_id, _decoded(encoded), status.st_size, status.st_mtime, entry.path)


def _scanned(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _decoded(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except binascii.Error as error:
        raise ValueError(text) from error
