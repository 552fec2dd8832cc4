"""The `files` of a call: from the disk to the model, without passing through the agent."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from ollama_mcp.access import Access, FolderNotAllowed, Purpose
from ollama_mcp.access.wording import quoted, shortened
from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.media import Extract, NotText, decode_text, extract_text, kind_of
from ollama_mcp.work.large_files import cut_file, read_head
from ollama_mcp.work.lines import WHOLE, Cut, Part, Range, cut
from ollama_mcp.work.readings import Document, Reading, Unread, as_block, receipts
from ollama_mcp.work.targets import Located, Target, locate, too_many

if TYPE_CHECKING:
    from ollama_mcp.settings.model import Settings

__all__ = ["Document", "Reading", "Unread", "as_block", "read_files", "read_target", "receipts"]

AT_ONCE = 4
_CHUNK = 1_000_000
_REASONS = 2


class _Image(NotText):
    """A file is an image, met where text was looked for."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the disk gave: the whole content, or parts of a file that is too large for that."""

    data: bytes = b""
    cut: Cut | None = None
    encoding: str = ""
    is_image: bool = False


async def read_files(access: Access, specs: Sequence[str], settings: Settings) -> Reading:
    """Read the files of a call, a few at a time; what cannot be read does not keep the others from it.

    Args:
        access: What this client may read and fetch.
        specs: Paths, globs, folders and `file://` URIs, each perhaps with lines (`path:10-80`, `path:10`, `path:10-`;
            of a PDF or the like, lines of the text taken out of it); http(s) addresses, which take no lines.
        settings: Limits of number and size.

    Raises:
        FolderNotAllowed: Nothing was read, and the user may allow a folder of which something was wanted.
        InvalidArgument: Nothing was read, for the reasons given; or there are too many files or too much text.
        OllamaMCPError: The one file that was named cannot be read, for whatever reason.
    """
    most = settings.limits.files
    if len(specs) > most:
        raise too_many(len(specs), most)
    located = await asyncio.to_thread(locate, access, specs, most=most)
    gate = asyncio.Semaphore(AT_ONCE)
    allowance = _Allowance(settings.limits.prompt_bytes)

    async def one(target: Target) -> list[Document | OllamaMCPError]:
        async with gate:
            try:
                found = await read_target(access, target, settings)
            except OllamaMCPError as error:
                return [error]
        allowance.take(found)
        return found

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(target)) for target in located.targets]
    except BaseExceptionGroup as failed:
        # One of them found the limit of all; the others were cancelled.
        raise failed.exceptions[0] from None
    return _reading(located, [task.result() for task in tasks])


async def read_target(access: Access, target: Target, settings: Settings) -> list[Document | OllamaMCPError]:
    """Read one file: a document for each range of its lines, or the error of a range that is not there.

    Raises:
        OllamaMCPError: It cannot be read, or is no text; an image's error says that it is one.
    """
    limit = settings.limits.file_bytes
    if target.is_address:
        data = await access.fetch(target.path)
        name = re.split(r"[?#]", target.path, maxsplit=1)[0]
        if kind_of(data, name, fetched=True) == "image":
            raise _Image(f"{quoted(name)} is an image.")
        return await asyncio.to_thread(
            _documents, name, await extract_text(data, name=name, most=limit, fetched=True), target.ranges
        )
    stopped = Event()
    try:
        loaded = await asyncio.to_thread(_load, access, target, limit, stopped)
    except asyncio.CancelledError:
        stopped.set()
        raise
    if loaded.is_image:
        raise _Image(f"{quoted(target.path)} is an image.", next_step="Give it in images.")
    if loaded.cut is not None:
        return await asyncio.to_thread(_parts_of_large, target, loaded.cut, loaded.encoding)
    extract = await extract_text(loaded.data, name=target.path, most=limit)
    return await asyncio.to_thread(_documents, target.path, extract, target.ranges)


def _load(access: Access, target: Target, limit: int, stopped: Event) -> _Loaded:
    with access.open_file(target.path, target.purpose) as file:
        head = read_head(file)
        kind = kind_of(head, file.path)
        if kind == "image":
            return _Loaded(is_image=True)
        if target.purpose is Purpose.IMAGE:
            # Its folder is open for images only, and this is none: refused by the rules of text, in their words.
            access.open_file(target.path, Purpose.TEXT).stream.close()
        if file.size > limit and kind == "text":
            if WHOLE in target.ranges:
                raise InvalidArgument(
                    f"{quoted(file.asked)} is larger than {limit / 1e6:g} MB (setting limits.file_bytes).",
                    next_step="Give a range of its lines (path:1-2000), or raise the setting.",
                )
            parts, encoding = cut_file(file, target.ranges, most=limit, stopped=stopped)
            return _Loaded(cut=parts, encoding=encoding)
        return _Loaded(file.read(limit, setting="limits.file_bytes"))


def _documents(path: str, extract: Extract, ranges: Sequence[Range]) -> list[Document | OllamaMCPError]:
    text = extract.text
    if list(ranges) == [WHOLE]:
        last = text.count("\n") + (not text.endswith("\n") and bool(text))
        return [Document(path, text, 1, last, len(text.encode()), extract.encoding, extract.kind, extract.notes)]
    pieces = (text[start : start + _CHUNK].encode() for start in range(0, len(text), _CHUNK))
    found = cut(pieces, ranges, most=4 * len(text))
    documents = [_document(path, part, part.data.decode(), extract) for part in found.parts]
    return [*documents, *_behind_the_end(path, found, ranges)]


def _parts_of_large(target: Target, found: Cut, mark: str) -> list[Document | OllamaMCPError]:
    documents: list[Document] = []
    for part in found.parts:
        text, encoding = decode_text(part.data, name=target.path)
        extract = Extract(text, mark or encoding, "text")
        documents.append(_document(target.path, part, text, extract))
    return [*documents, *_behind_the_end(target.path, found, target.ranges)]


def _document(path: str, part: Part, text: str, extract: Extract) -> Document:
    size, first = len(text.encode()), part.range.first
    return Document(path, text, first, part.last, size, extract.encoding, extract.kind, extract.notes)


def _behind_the_end(path: str, found: Cut, ranges: Sequence[Range]) -> list[InvalidArgument]:
    return [
        InvalidArgument(
            f"{quoted(path)} has {found.total or 0:,} lines; {range_} begins behind its end.",
            next_step="Give lines that it has.",
        )
        for range_ in ranges[len(found.parts) :]
    ]


class _Allowance:
    """How much text may still be read for one call."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._files = 0

    def take(self, found: Sequence[Document | OllamaMCPError]) -> None:
        self._files += 1
        self._left -= sum(document.bytes for document in found if isinstance(document, Document))
        if self._left < 0:
            raise InvalidArgument(
                f"{self._files:,} of the files hold more than {self._most / 1e6:g} MB of text together "
                "(setting limits.prompt_bytes).",
                next_step="Give fewer files or ranges of their lines, or work through them with ollama_batch.",
            )


def _reading(located: Located, found: Sequence[Sequence[Document | OllamaMCPError]]) -> Reading:
    reading = Reading()
    failed = list(located.failed)
    passed: Counter[str] = Counter()
    for target, results in zip(located.targets, found, strict=True):
        for result in results:
            if isinstance(result, Document):
                reading.documents.append(result)
            elif isinstance(result, _Image) and target.wants_images:
                reading.images.append(target.path)
            elif isinstance(result, NotText) and target.is_swept:
                passed[target.asked] += 1
            else:
                failed.append((target.path, result))
    if not reading.documents and not reading.images:
        raise _nothing_read(failed, passed)
    reading.unread.extend(Unread(asked, f"[{error.kind}] {error.message}") for asked, error in failed)
    reading.unread.extend(Unread(asked, f"[not_allowed] left out: {note}") for asked, note in located.left_out)
    reading.unread.extend(
        Unread(asked, f"[invalid_argument] files there that are no text, passed over: {count:,}")
        for asked, count in passed.items()
    )
    return reading


def _nothing_read(failed: Sequence[tuple[str, OllamaMCPError]], passed: Counter[str]) -> OllamaMCPError:
    errors = [error for _, error in failed]
    askable = next((error for error in errors if isinstance(error, FolderNotAllowed)), None)
    if askable is not None or (len(errors) == 1 and not passed):
        return askable or errors[0]
    if not errors and not passed:
        return InvalidArgument("No file was given.", next_step="Give at least one path.")
    # The end of a long path says most, and the reason must not fall to it.
    reasons = [
        shortened(error.message.replace(quoted(asked), quoted(asked, 40)), 125) for asked, error in failed[:_REASONS]
    ]
    reasons += [f"And {len(errors) - _REASONS:,} more."] if len(errors) > _REASONS else []
    reasons += [f"No text: {passed.total():,}."] if passed else []
    return InvalidArgument(
        f"Of {len(errors) + passed.total():,} files none was read: {' '.join(reasons)}",
        next_step=shortened(errors[0].next_step, 70) if errors else "Name the files that are meant.",
    )
