"""Lines out of text files that are too large to be read whole, in memory that does not grow with the file."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from threading import Event

from ollama_mcp.access import OpenedFile
from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import DiskError
from ollama_mcp.media import NotText
from ollama_mcp.media.texts import check_text, marked_encoding
from ollama_mcp.work.lines import Cut, Range, cut

_CHUNK = 1 << 20
_HEAD = 65_536


def cut_file(file: OpenedFile, ranges: Sequence[Range], *, most: int, stopped: Event) -> tuple[Cut, str]:
    """Cut ranges of lines out of an open file, and return them with the encoding of its byte order mark, or "".

    Disk work, for a thread. Where there is a mark the parts are in UTF-8.

    Args:
        file: Open.
        ranges: In order, apart from each other.
        most: Most bytes of all of them together.
        stopped: Set when nobody waits any more.

    Raises:
        InvalidArgument: The file is no text, or the lines are more than `most` bytes.
        DiskError: Reading failed.
    """
    encoding, start = marked_encoding(read_head(file))
    return cut(_chunks(file, encoding, start, stopped), ranges, most=most), encoding


def read_head(file: OpenedFile) -> bytes:
    """Return the first 64 kB of an open file, and leave it at its beginning.

    Raises:
        DiskError: Reading failed.
    """
    try:
        file.stream.seek(0)
        head = file.stream.read(_HEAD)
        file.stream.seek(0)
    except OSError as error:
        raise _disk_error(file, error) from error
    return head


def _chunks(file: OpenedFile, encoding: str, start: int, stopped: Event) -> Iterator[bytes]:
    """The bytes with LF as the only line break; UTF-16 and UTF-32 come as UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding not in ("", "utf-8") else None
    held = b""
    try:
        file.stream.seek(start)
        while (data := file.stream.read(_CHUNK)) and not stopped.is_set():
            if decoder is not None:
                data = decoder.decode(data).encode("utf-8", "replace")
            elif b"\0" in data:
                # Said as of a small file: what it is by its first bytes, else that it has NUL bytes.
                check_text(read_head(file), name=file.asked)
                raise NotText(
                    f"{quoted(file.asked)} is not read: it has NUL bytes, so it is no text.",
                    next_step="Give a text file.",
                )
            data = held + data
            # What follows a CR decides whether both are one break.
            held = b"\r" if data.endswith(b"\r") else b""
            yield data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    except OSError as error:
        raise _disk_error(file, error) from error
    if held:
        yield b"\n"


def _disk_error(file: OpenedFile, error: OSError) -> DiskError:
    return DiskError(f"{quoted(file.asked)} could not be read: {error.strerror}.", next_step="Check the disk.")
