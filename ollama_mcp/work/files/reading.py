"""Reading the `files` of a call: from disk or address to documents, within the limits of the settings."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from ollama_mcp.access import Access, FolderNotAllowed, Purpose
from ollama_mcp.access.quoting import quoted, shortened
from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.media import ExtractedText, NotText, decode_text, extract_text, file_kind
from ollama_mcp.work.files.documents import Document, ReadResult, UnreadFile
from ollama_mcp.work.files.line_ranges import (
    WHOLE_FILE,
    LineRange,
    LineSlice,
    SlicedLines,
    read_head,
    slice_file,
    slice_lines,
)
from ollama_mcp.work.files.specs import FileTarget, ResolvedSpecs, resolve_specs, too_many_files

if TYPE_CHECKING:
    from ollama_mcp.settings.model import Settings

MAX_CONCURRENT = 4
_CHUNK_CHARS = 1_000_000
_REASONS_SHOWN = 2

Settle = Callable[[Sequence["FileTarget"]], Awaitable[Mapping[str, list["Document | OllamaMCPError"]]]]


class ImageFile(NotText):
    """An image where text was expected."""


@dataclass(frozen=True, slots=True)
class _FileContent:
    """What was read from the disk: the whole content, or slices of a file that is too large for that."""

    data: bytes = b""
    sliced: SlicedLines | None = None
    encoding: str = ""
    is_image: bool = False


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much one call may read.

    Args:
        files: Files.
        bytes: Bytes of text of all files together.
        names: The settings that say so, of files and of bytes.
    """

    files: int
    bytes: int
    names: tuple[str, str] = ("limits.files", "limits.prompt_bytes")


async def read_files(
    access: Access,
    specs: Sequence[str],
    settings: Settings,
    *,
    limits: ReadLimits | None = None,
    settle: Settle | None = None,
) -> ReadResult:
    """Read the files of a call, a few at a time; one that cannot be read does not stop the others.

    Args:
        access: What this client may read and fetch.
        specs: Paths, globs, folders and `file://` URIs, each perhaps with lines (`path:10-80`, `path:10`, `path:10-`;
            for PDF and the like, lines of the extracted text); http(s) addresses, which take no lines.
        settings: Limits of number and size.
        limits: Others than those of the settings.
        settle: Gives, by path, what need not be read.

    Raises:
        FolderNotAllowed: Nothing was read, and the user may allow a folder of one of the files.
        InvalidArgument: Nothing was read, for the reasons given; or there are too many files or too much text.
        OllamaMCPError: The only file that was named cannot be read, for whatever reason.
    """
    limits = limits or ReadLimits(settings.limits.files, settings.limits.prompt_bytes)
    if len(specs) > limits.files:
        raise too_many_files(len(specs), limits.files, limits.names[0])
    resolved = await asyncio.to_thread(resolve_specs, access, specs, max_files=limits.files, setting=limits.names[0])
    settled: Mapping[str, list[Document | OllamaMCPError]] = {}
    if settle is not None:
        settled = await settle(resolved.targets)
    semaphore = asyncio.Semaphore(MAX_CONCURRENT)
    budget = _TextBudget(limits)

    async def read_one(target: FileTarget) -> list[Document | OllamaMCPError]:
        if target.path in settled:
            return settled[target.path]
        async with semaphore:
            try:
                found = await _read_target(access, target, settings)
            except OllamaMCPError as error:
                return [error]
        budget.spend(found)
        return found

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read_one(target)) for target in resolved.targets]
    except BaseExceptionGroup as failed:
        # Only an exceeded budget gets here; the task group has cancelled the other reads.
        raise failed.exceptions[0] from None
    return _result(resolved, [task.result() for task in tasks])


async def read_optional_files(
    access: Access,
    specs: Sequence[str],
    settings: Settings,
    *,
    limits: ReadLimits | None = None,
    settle: Settle | None = None,
) -> ReadResult:
    """Read the files of a call that can go on without them: why nothing was read becomes an entry of `unread`.

    Raises:
        FolderNotAllowed: As `read_files`; the error itself asks the user, so it must reach the caller.
    """
    try:
        return await read_files(access, specs, settings, limits=limits, settle=settle)
    except FolderNotAllowed:
        raise
    except OllamaMCPError as error:
        return ReadResult(unread=[UnreadFile(", ".join(specs), f"[{error.kind}] {error}")])


async def _read_target(access: Access, target: FileTarget, settings: Settings) -> list[Document | OllamaMCPError]:
    """A document for each line range of one file, or the error of a range that does not exist.

    Raises:
        ImageFile: It is an image.
        OllamaMCPError: It cannot be read, or is not text.
    """
    limit = settings.limits.file_bytes
    if target.is_url:
        data = await access.fetch(target.path)
        # A query may hold a secret, and the name goes into prompts and receipts.
        name = re.split(r"[?#]", target.path, maxsplit=1)[0]
        if file_kind(data, name, fetched=True) == "image":
            raise ImageFile(f"{quoted(name)} is an image.")
        extract = await extract_text(data, name=name, max_characters=limit, fetched=True)
        return await asyncio.to_thread(_documents, name, extract, target.ranges)
    stopped = Event()
    try:
        content = await asyncio.to_thread(_load, access, target, limit, stopped)
    except asyncio.CancelledError:
        # A thread cannot be cancelled; this is how it learns that nobody waits for it.
        stopped.set()
        raise
    if content.is_image:
        raise ImageFile(f"{quoted(target.path)} is an image.", next_step="Give it in images.")
    if content.sliced is not None:
        return await asyncio.to_thread(_documents_of_slices, target, content.sliced, content.encoding)
    extract = await extract_text(content.data, name=target.path, max_characters=limit)
    return await asyncio.to_thread(_documents, target.path, extract, target.ranges)


def _load(access: Access, target: FileTarget, limit: int, stopped: Event) -> _FileContent:
    with access.open_file(target.path, target.purpose) as file:
        kind = file_kind(read_head(file), file.path)
        if kind == "image":
            return _FileContent(is_image=True)
        if target.purpose is Purpose.IMAGE:
            # Its folder is open to images only, and it only has the name of one: the rules of text raise their error.
            access.open_file(target.path, Purpose.TEXT).stream.close()
        # Other formats than text cannot be sliced before their text is extracted; `read` refuses them by size.
        if file.size > limit and kind == "text":
            if WHOLE_FILE in target.ranges:
                raise InvalidArgument(
                    f"{quoted(file.requested)} is larger than {limit / 1e6:g} MB (setting limits.file_bytes).",
                    next_step="Give a range of its lines (path:1-2000), or raise the setting.",
                )
            sliced, encoding = slice_file(file, target.ranges, max_bytes=limit, stopped=stopped)
            return _FileContent(sliced=sliced, encoding=encoding)
        return _FileContent(file.read(limit, setting="limits.file_bytes"))


def _documents(path: str, extract: ExtractedText, ranges: Sequence[LineRange]) -> list[Document | OllamaMCPError]:
    text = extract.text
    if list(ranges) == [WHOLE_FILE]:
        last = text.count("\n") + (not text.endswith("\n") and bool(text))
        return [Document(path, text, 1, last, len(text.encode()), extract.encoding, extract.kind, extract.notes)]
    chunks = (text[start : start + _CHUNK_CHARS].encode() for start in range(0, len(text), _CHUNK_CHARS))
    # UTF-8 takes at most four bytes for a character, so this limit is never reached: the text is in memory already.
    found = slice_lines(chunks, ranges, max_bytes=4 * len(text))
    documents = [_document(path, part, part.data.decode(), extract) for part in found.slices]
    return [*documents, *_missing_ranges(path, found, ranges)]


def _documents_of_slices(target: FileTarget, found: SlicedLines, encoding: str) -> list[Document | OllamaMCPError]:
    documents: list[Document] = []
    for part in found.slices:
        text, detected = decode_text(part.data, name=target.path)
        # With a byte order mark the slices are UTF-8 by now; the receipt names the encoding of the file.
        extract = ExtractedText(text, encoding or detected, "text")
        documents.append(_document(target.path, part, text, extract))
    return [*documents, *_missing_ranges(target.path, found, target.ranges)]


def _document(path: str, part: LineSlice, text: str, extract: ExtractedText) -> Document:
    size, first = len(text.encode()), part.range.first
    return Document(path, text, first, part.last, size, extract.encoding, extract.kind, extract.notes)


def _missing_ranges(path: str, found: SlicedLines, ranges: Sequence[LineRange]) -> list[InvalidArgument]:
    return [
        InvalidArgument(
            f"{quoted(path)} has {found.total_lines or 0:,} lines; {range_} starts after its end.",
            next_step="Give lines that exist.",
        )
        for range_ in ranges[len(found.slices) :]
    ]


class _TextBudget:
    """How much text may still be read for one call, so that many files cannot fill the memory."""

    def __init__(self, limits: ReadLimits) -> None:
        self._limits, self._bytes_left = limits, limits.bytes
        self._files = 0

    def spend(self, found: Sequence[Document | OllamaMCPError]) -> None:
        self._files += 1
        self._bytes_left -= sum(document.bytes for document in found if isinstance(document, Document))
        if self._bytes_left < 0:
            raise InvalidArgument(
                f"{self._files:,} of the files hold more than {self._limits.bytes / 1e6:g} MB of text together "
                f"(setting {self._limits.names[1]}).",
                next_step="Give fewer files or ranges of their lines, or process them with ollama_batch.",
            )


def _result(resolved: ResolvedSpecs, found: Sequence[Sequence[Document | OllamaMCPError]]) -> ReadResult:
    result = ReadResult()
    failed = list(resolved.failed)
    skipped: Counter[str] = Counter()
    for target, outcomes in zip(resolved.targets, found, strict=True):
        for outcome in outcomes:
            if isinstance(outcome, NotText):
                result.others[target.path] = "image" if isinstance(outcome, ImageFile) else "other"
            if isinstance(outcome, Document):
                result.documents.append(outcome)
            elif isinstance(outcome, ImageFile) and target.may_be_image:
                result.images.append(target.path)
            elif isinstance(outcome, NotText) and target.is_from_pattern:
                skipped[target.spec] += 1
            else:
                failed.append((target.path, outcome))
    if not result.documents and not result.images:
        raise _nothing_read_error(failed, skipped)
    result.unread.extend(UnreadFile(spec, f"[{error.kind}] {error.message}") for spec, error in failed)
    result.unread.extend(UnreadFile(spec, note) for spec, note in resolved.excluded)
    result.unread.extend(
        UnreadFile(spec, f"[invalid_argument] skipped, not text: {count:,} files") for spec, count in skipped.items()
    )
    return result


def _nothing_read_error(failed: Sequence[tuple[str, OllamaMCPError]], skipped: Counter[str]) -> OllamaMCPError:
    errors = [error for _, error in failed]
    # This one comes first, since the user can be asked to allow the folder.
    folder_error = next((error for error in errors if isinstance(error, FolderNotAllowed)), None)
    if folder_error is not None or (len(errors) == 1 and not skipped):
        return folder_error or errors[0]
    if not errors and not skipped:
        return InvalidArgument("No file was given.", next_step="Give at least one path.")
    # Long paths are shortened in the middle, or the cut at the end of the message would take the reason.
    reasons = [
        shortened(error.message.replace(quoted(path), quoted(path, 40)), 125) for path, error in failed[:_REASONS_SHOWN]
    ]
    reasons += [f"And {len(errors) - _REASONS_SHOWN:,} more."] if len(errors) > _REASONS_SHOWN else []
    reasons += [f"Not text: {skipped.total():,}."] if skipped else []
    return InvalidArgument(
        f"0 of {len(errors) + skipped.total():,} files were read: {' '.join(reasons)}",
        next_step=shortened(errors[0].next_step, 70) if errors else "Name the files that are meant.",
    )
