"""The sources of rows that the `input` of a batch can name: texts, the rows of one file, its chunks, or many files."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ollama_mcp.access import FolderNotAllowed, Purpose
from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import DiskError, InvalidArgument, OllamaMCPError
from ollama_mcp.work.batch.file_sources import CsvSource, JsonlSource, TextFileSource
from ollama_mcp.work.batch.rows import InputRow, RowSource
from ollama_mcp.work.threads import open_in_thread

if TYPE_CHECKING:
    from ollama_mcp.access import OpenedFile
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.files import Document

MAX_FILES = 50_000
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")
# These are read row by row; a file of another kind is one row, or is cut into chunks.
_ROW_FILES: dict[str, Callable[[OpenedFile, int], TextFileSource]] = {
    ".txt": TextFileSource,
    ".jsonl": JsonlSource,
    ".ndjson": JsonlSource,
    ".csv": CsvSource,
    ".tsv": CsvSource,
}
# A path from a root or from home. A relative one looks like any text, so that among several items it is a text.
_PATH = re.compile(r"(?:/|~[/\\]|\\\\|[A-Za-z]:[\\/]|file:|upload:\S)[^\n]*", re.IGNORECASE)
_GLOB = re.compile(r"[*?\[]")
_NAME_SUFFIX = re.compile(r"\.\w+$")


class TextListSource:
    """The texts of a call, each one row."""

    is_table = False
    from_files = False
    columns: Sequence[str] = ("text",)
    notes: Sequence[str] = ()

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self.label = "the list"
        digest = hashlib.sha256()
        for text in texts:
            # The length keeps ["ab", "c"] and ["a", "bc"] apart.
            digest.update(f"{len(text)}:".encode() + text.encode(errors="surrogatepass"))
        self.fingerprint = digest.hexdigest()

    def rows(self) -> Iterator[InputRow]:
        """See `RowSource`."""
        for number, text in enumerate(self._texts, start=1):
            yield InputRow(number, {}, {"text": text}, "" if text.strip() else "it is empty")

    def check_unchanged(self) -> None:
        """See `RowSource`."""

    def close(self) -> None:
        """See `RowSource`."""


class ChunkSource(TextListSource):
    """One long file in chunks of at most `chars` characters, cut where a paragraph, a line or a sentence ends."""

    from_files = True
    columns = ("text", "path")

    def __init__(self, document: Document, chars: int) -> None:
        from ollama_mcp.work.files.passages import split_document

        self._passages = list(split_document(document, chars=chars))
        # Path and size belong to the fingerprint: chunks of another size are other rows.
        super().__init__([f"{document.path}\n{chars}", *(passage.text for passage in self._passages)])
        self.label = quoted(document.path, 60)

    def rows(self) -> Iterator[InputRow]:
        """See `RowSource`."""
        for number, passage in enumerate(self._passages, start=1):
            location = {"path": passage.path, "lines": f"{passage.first_line}-{passage.last_line}"}
            yield InputRow(number, location, {"text": passage.text, "path": passage.path})


class FileListSource:
    """Files, each one row; each is read when its turn comes, and must not have changed since it was listed."""

    is_table = False
    from_files = True
    columns = ("text", "path")

    def __init__(self, paths: Sequence[str], notes: list[str]) -> None:
        self._paths = paths
        self.notes = notes
        self.label = f"{len(paths):,} files"
        self._stats = [_stat(path) for path in paths]
        digest = hashlib.sha256()
        for path, stat in zip(paths, self._stats, strict=True):
            digest.update(f"{path}\0{stat}\0".encode(errors="surrogatepass"))
        self.fingerprint = digest.hexdigest()

    def rows(self) -> Iterator[InputRow]:
        """See `RowSource`."""
        for number, path in enumerate(self._paths, start=1):
            yield InputRow(number, {"path": path}, {"path": path})

    def check_file(self, row: InputRow) -> None:
        """Check that the file of a row is the one that was listed.

        Raises:
            DiskError: It changed, or is gone.
        """
        path = self._paths[row.number - 1]
        if _stat(path) != self._stats[row.number - 1]:
            raise DiskError(
                f"{quoted(path)} changed while the batch ran.", next_step="Process that file again on its own."
            )

    def check_unchanged(self) -> None:
        """See `RowSource`; each file is checked when it is read."""

    def close(self) -> None:
        """See `RowSource`."""


async def open_source(call: CallContext, given: Sequence[str], chunk_chars: int | None) -> RowSource:
    """Find out what the input is, and open it.

    One item is a path; several are texts, unless each is a path from the root or from '~'.

    Args:
        call: The context of the call.
        given: The argument `input`.
        chunk_chars: Most characters of a chunk, where one file is cut into chunks.

    Raises:
        OllamaMCPError: It cannot be read, is empty, or does not go with `chunk_chars`.
    """
    excluding = [item for item in given if item.strip().startswith("!")]
    paths = [item for item in given if item not in excluding]
    if excluding and paths and all(map(_is_path, paths)) and (len(paths) == 1 or all(map(_PATH.fullmatch, paths))):
        # Taken for texts, a pattern that excludes would be asked about itself.
        raise InvalidArgument(
            f"input takes no exclusions such as {quoted(excluding[0], 40)}.",
            next_step="Name the files that are meant, by paths from the root or a narrower glob.",
        )
    if len(given) > 1 and not all(_PATH.fullmatch(item.strip()) for item in given):
        if chunk_chars is not None:
            raise InvalidArgument(
                "chunk_chars needs one file, but input is a list of texts.", next_step="Leave chunk_chars out."
            )
        return await asyncio.to_thread(TextListSource, given)
    if len(given) == 1 and not _is_path(given[0]) and not await asyncio.to_thread(_names_files, call, given[0]):
        raise InvalidArgument(
            "input has one item, which is neither a file, a folder nor a glob.",
            next_step="Give several texts, a .txt, .jsonl or .csv file, a folder, or a glob. "
            "For one text use ollama_chat.",
        )
    if chunk_chars is not None:
        return await _open_chunks(call, given, chunk_chars)
    if len(given) == 1 and (suffix := _row_suffix(given[0])) and not _GLOB.search(given[0]):
        return await open_in_thread(partial(_open_row_file, call, given[0], _ROW_FILES[suffix]))
    return await _open_files(call, given)


def _names_files(call: CallContext, text: str) -> bool:
    """Whether a text that does not look like a path is one: a folder such as "notes", or a file without a suffix."""
    if "\n" in text.strip():
        return False
    try:
        return bool(call.access.find(text, Purpose.TEXT, MAX_FILES).total)
    except FolderNotAllowed:
        # The user may be asked for it, or a root of the client may have it.
        raise
    except OllamaMCPError:
        return False


def _open_row_file(call: CallContext, path: str, make: Callable[[OpenedFile, int], TextFileSource]) -> RowSource:
    file = call.access.open_file(path, Purpose.TEXT)
    try:
        return make(file, call.settings.limits.prompt_bytes)
    except BaseException:
        # From here on the source closes the file; without one nobody would.
        file.stream.close()
        raise


async def _open_chunks(call: CallContext, given: Sequence[str], chunk_chars: int) -> RowSource:
    from ollama_mcp.work.files import read_files

    reading = await read_files(call.access, given, call.settings)
    files = len(reading.documents) + len(reading.images)
    if files != 1 or reading.images:
        raise InvalidArgument(
            f"chunk_chars takes one text file; input names {files}{', which is an image' if files == 1 else ''}.",
            next_step="Name one file, or leave chunk_chars out.",
        )
    chunks = await asyncio.to_thread(ChunkSource, reading.documents[0], chunk_chars)
    if next(chunks.rows(), None) is None:
        raise InvalidArgument(f"{chunks.label} is empty.", next_step="Give a file that holds text.")
    return chunks


async def _open_files(call: CallContext, given: Sequence[str]) -> RowSource:
    found: list[str] = []
    notes: list[str] = []
    for pattern in given:
        purpose = Purpose.IMAGE if pattern.strip().lower().endswith(IMAGE_SUFFIXES) else Purpose.TEXT
        listed = await asyncio.to_thread(call.access.find, pattern, purpose, MAX_FILES)
        if listed.total > MAX_FILES:
            raise InvalidArgument(
                f"{quoted(pattern)} matches {listed.total:,} files; a batch takes at most {MAX_FILES:,}.",
                next_step="Narrow the pattern.",
            )
        found += listed.paths
        notes += [f"Left out of {quoted(pattern)}: {listed.note}."] if listed.note else []
    # Patterns may overlap; each file is one row.
    paths = list(dict.fromkeys(found))
    if not paths:
        why = f" ({notes[0]})" if notes else ""
        raise InvalidArgument(
            f"No file matches {quoted(given[0])}{why}.", next_step="Check the pattern; '**' goes down into folders."
        )
    if len(given) == len(paths) == 1 and os.path.basename(given[0].strip()) == os.path.basename(paths[0]):
        if suffix := _row_suffix(paths[0]):
            # Its own name looks like a pattern: "report[1].csv".
            return await open_in_thread(partial(_open_row_file, call, paths[0], _ROW_FILES[suffix]))
        raise InvalidArgument(
            f"input names one file, {quoted(paths[0])}.",
            next_step="Cut it into rows with chunk_chars=4000, or give the whole file to ollama_chat by files.",
        )
    return await asyncio.to_thread(FileListSource, paths, notes)


def _row_suffix(path: str) -> str:
    """The suffix of a file that is read row by row; "" for any other."""
    suffix = os.path.splitext(path.strip())[1].lower()
    return suffix if suffix in _ROW_FILES else ""


def _is_path(text: str) -> bool:
    path = text.strip()
    return (
        bool(path)
        and "\n" not in path
        and bool(_PATH.fullmatch(path) or _GLOB.search(path) or _NAME_SUFFIX.search(path))
    )


def _stat(path: str) -> tuple[int, int] | None:
    """Size and time of change of a file; None where it is gone."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
