"""What the `input` of a batch means: texts, the rows of one file, its pieces, or many files."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ollama_mcp.access import Purpose
from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.work.batch.rows import Row, Source
from ollama_mcp.work.batch.streams import FileLines, JsonLines, Table

if TYPE_CHECKING:
    from ollama_mcp.access import OpenedFile
    from ollama_mcp.work.context import CallContext
    from ollama_mcp.work.files import Document

MOST_FILES = 50_000
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")
_BY_SUFFIX: dict[str, Callable[[OpenedFile, int], FileLines]] = {
    ".txt": FileLines,
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".csv": Table,
    ".tsv": Table,
}
_PATH = re.compile(r"(?:/|~[/\\]|\\\\|[A-Za-z]:[\\/]|file:)[^\n]*", re.IGNORECASE)
_GLOB = re.compile(r"[*?\[]")
_NAME_SUFFIX = re.compile(r"\.\w+$")


class Texts:
    """A list of texts that the call brought."""

    is_table = False
    from_files = False
    columns: Sequence[str] = ("text",)
    notes: Sequence[str] = ()

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self.shown = "the list"
        digest = hashlib.sha256()
        for text in texts:
            digest.update(f"{len(text)}:".encode() + text.encode(errors="surrogatepass"))
        self.identity = digest.hexdigest()

    def rows(self) -> Iterator[Row]:
        """See `Source`."""
        for number, text in enumerate(self._texts, start=1):
            yield Row(number, {}, {"text": text}, "" if text.strip() else "it is empty")

    def check(self) -> None:
        """See `Source`."""

    def close(self) -> None:
        """See `Source`."""


class Pieces(Texts):
    """One long file in pieces of so many characters, cut where a paragraph, a line or a sentence ends."""

    from_files = True
    columns = ("text", "path")

    def __init__(self, document: Document, chars: int) -> None:
        from ollama_mcp.work.passages import split

        self._passages = list(split(document, chars=chars))
        super().__init__([f"{document.path}\n{chars}", *(passage.text for passage in self._passages)])
        self.shown = quoted(document.path, 60)

    def rows(self) -> Iterator[Row]:
        """See `Source`."""
        for number, passage in enumerate(self._passages, start=1):
            place = {"path": passage.path, "lines": f"{passage.first_line}-{passage.last_line}"}
            yield Row(number, place, {"text": passage.text, "path": passage.path})


class ManyFiles:
    """Files, each one row; they are read when their turn comes, and may not have changed since they were listed."""

    is_table = False
    from_files = True
    columns = ("text", "path")

    def __init__(self, paths: Sequence[str], notes: list[str]) -> None:
        self._paths = paths
        self.notes = notes
        self.shown = f"{len(paths):,} files"
        self._states = [_state(path) for path in paths]
        digest = hashlib.sha256()
        for path, state in zip(paths, self._states, strict=True):
            digest.update(f"{path}\0{state}\0".encode(errors="surrogatepass"))
        self.identity = digest.hexdigest()

    def rows(self) -> Iterator[Row]:
        """See `Source`."""
        for number, path in enumerate(self._paths, start=1):
            yield Row(number, {"path": path}, {"path": path})

    def check_file(self, row: Row) -> None:
        """Make sure that the file of a row is the one that was listed.

        Raises:
            DiskError: It changed, or is gone.
        """
        path = self._paths[row.number - 1]
        if _state(path) != self._states[row.number - 1]:
            raise DiskError(f"{quoted(path)} changed while the batch ran.", next_step="Run it again by itself.")

    def check(self) -> None:
        """See `Source`; each file is checked when it is read."""

    def close(self) -> None:
        """See `Source`."""


async def open_source(call: CallContext, given: Sequence[str], chunk_chars: int | None) -> Source:
    """Find out what the input is, and open it.

    One item is a path; several are texts, unless each is spelled as a path from the root or from '~'.

    Args:
        call: The context of the call.
        given: The argument `input`.
        chunk_chars: Characters of a piece, where one file is to be gone through in pieces.

    Raises:
        OllamaMCPError: It cannot be read, is empty, or does not go with `chunk_chars`.
    """
    if len(given) > 1 and not all(_PATH.fullmatch(item.strip()) for item in given):
        _without(chunk_chars)
        return await asyncio.to_thread(Texts, given)
    if len(given) == 1 and not _is_path(given[0]):
        raise InvalidArgument(
            "input has one item, which is neither a file's name nor a glob.",
            next_step="Give several texts, a .txt, .jsonl or .csv file, or a glob: a folder as 'notes/*'. "
            "One text goes to ollama_chat.",
        )
    if chunk_chars is not None:
        return await _pieces(call, given, chunk_chars)
    if len(given) == 1 and (suffix := _suffix(given[0])) and not _GLOB.search(given[0]):
        return await asyncio.to_thread(_opened, call, given[0], _BY_SUFFIX[suffix])
    return await _files(call, given)


def _opened(call: CallContext, path: str, make: Callable[[OpenedFile, int], FileLines]) -> Source:
    file = call.access.open_file(path, Purpose.TEXT)
    try:
        return make(file, call.settings.limits.prompt_bytes)
    except BaseException:
        file.stream.close()
        raise


async def _pieces(call: CallContext, given: Sequence[str], chunk_chars: int) -> Source:
    from ollama_mcp.work.files import read_files

    reading = await read_files(call.access, given, call.settings)
    files = len(reading.documents) + len(reading.images)
    if files != 1 or reading.images:
        raise InvalidArgument(
            f"chunk_chars goes through one text file; input names {files}{' that is an image' if files == 1 else ''}.",
            next_step="Name one file, or leave chunk_chars out.",
        )
    pieces = await asyncio.to_thread(Pieces, reading.documents[0], chunk_chars)
    if next(pieces.rows(), None) is None:
        raise InvalidArgument(f"{pieces.shown} is empty.", next_step="Give a file that holds text.")
    return pieces


async def _files(call: CallContext, given: Sequence[str]) -> Source:
    found: list[str] = []
    notes: list[str] = []
    for pattern in given:
        purpose = Purpose.IMAGE if pattern.strip().lower().endswith(IMAGE_SUFFIXES) else Purpose.TEXT
        listed = await asyncio.to_thread(call.access.find, pattern, purpose, MOST_FILES)
        if listed.total > MOST_FILES:
            raise InvalidArgument(
                f"{quoted(pattern)} fits {listed.total:,} files; a batch takes {MOST_FILES:,}.",
                next_step="Narrow the pattern.",
            )
        found += listed.paths
        notes += [f"Left out of {quoted(pattern)}: {listed.note}."] if listed.note else []
    paths = list(dict.fromkeys(found))
    if not paths:
        why = f" ({notes[0]})" if notes else ""
        raise InvalidArgument(
            f"No file fits {quoted(given[0])}{why}.", next_step="Check the pattern; '**' goes down into folders."
        )
    if len(given) == len(paths) == 1 and os.path.basename(given[0].strip()) == os.path.basename(paths[0]):
        if suffix := _suffix(paths[0]):
            # Its own name looks like a pattern: "report[1].csv".
            return await asyncio.to_thread(_opened, call, paths[0], _BY_SUFFIX[suffix])
        raise InvalidArgument(
            f"input names one file, {quoted(paths[0])}.",
            next_step="chunk_chars=4000 goes through it in pieces; ollama_chat takes it whole by files.",
        )
    return await asyncio.to_thread(ManyFiles, paths, notes)


def _suffix(path: str) -> str:
    """The suffix of a file whose rows are the input; "" of any other."""
    suffix = os.path.splitext(path.strip())[1].lower()
    return suffix if suffix in _BY_SUFFIX else ""


def _without(chunk_chars: int | None) -> None:
    if chunk_chars is not None:
        raise InvalidArgument(
            "chunk_chars needs one file, but input is a list of texts.", next_step="Leave chunk_chars out."
        )


def _is_path(text: str) -> bool:
    path = text.strip()
    return (
        bool(path)
        and "\n" not in path
        and bool(_PATH.fullmatch(path) or _GLOB.search(path) or _NAME_SUFFIX.search(path))
    )


def _state(path: str) -> tuple[int, int] | None:
    """Size and time of a file that was judged before; None where it is gone."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
