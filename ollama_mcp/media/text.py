"""The text of a file, from its bytes: plain text in any common encoding, PDF, DOCX, HTML and notebooks."""

from __future__ import annotations

import asyncio
import codecs
import re
from dataclasses import dataclass
from typing import NamedTuple

from ollama_mcp._command import how_to_install
from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.media.documents import EXTRA
from ollama_mcp.media.documents.process import MissingExtra, convert_document
from ollama_mcp.media.file_types import binary_type, file_kind

# Longest first: the UTF-32 mark of little-endian files starts with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Common encodings only: without this choice the detector prefers rare code pages for short texts.
_CANDIDATES = (
    *("cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256"),
    *("cp932", "euc_jp", "iso2022_jp", "gb18030", "big5", "cp949"),
)
_SAMPLE = 65_536
# The detector's threshold of mess, by default 0.2; random bytes exceed this one too.
_RELAXED_THRESHOLD = 0.45
_CHUNK = 1_000_000
_CONTROL_BYTES = bytes(code for code in range(32) if code not in b"\t\n\f\r\x1b") + b"\x7f"
# Includes the C1 controls, which terminals execute like escape sequences (ECMA-48).
_CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_MAX_ERROR_RATE = 0.1
_HTML_HEAD = 1024
# The HTML standard looks for it in the first 1,024 bytes.
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)


class NotText(InvalidArgument):
    """A file is not text that can be read; the message says what it is."""


class DecodedText(NamedTuple):
    """A file's text, and the encoding it came in, such as "utf-8"."""

    text: str
    encoding: str


@dataclass(frozen=True, slots=True)
class ExtractedText:
    """The text of a file.

    Args:
        text: The text, with "\\n" as the only line break; see `decode_text`.
        encoding: Encoding of a text file, HTML page or notebook; "" for PDF and DOCX.
        kind: "text", "pdf", "docx", "html" or "notebook".
        notes: What was left out and matters, for the receipt; never content.
    """

    text: str
    encoding: str
    kind: str
    notes: tuple[str, ...] = ()


async def extract_text(data: bytes, *, name: str, max_characters: int, fetched: bool = False) -> ExtractedText:
    """Return the text of a file: plain text in any common encoding, PDF, DOCX, HTML or a notebook.

    Text is decoded in a thread, documents are converted in a child process.

    Args:
        data: The whole content.
        name: Its name or address, for errors and for `file_kind`.
        max_characters: Maximum length of the text of a document.
        fetched: As for `file_kind`.

    Raises:
        MissingExtra: It is a PDF or DOCX, and the extra `docs` is not installed.
        InvalidArgument: It has no text: an image, a binary file, a scan, a damaged or encrypted document.
    """
    kind = file_kind(data, name, fetched=fetched)
    if kind in ("pdf", "docx"):
        text, notes = await convert_document(data, kind, name=name, max_characters=max_characters)
        return ExtractedText(await asyncio.to_thread(clean_text, text), "", kind, notes)
    decode = _decode_html if kind == "html" else decode_text
    plain = await asyncio.to_thread(decode, data, name=name)
    if kind in ("text", "image") or not plain.text.strip():
        return ExtractedText(plain.text, plain.encoding, "text")
    try:
        text, notes = await convert_document(plain.text.encode(), kind, name=name, max_characters=max_characters)
    except MissingExtra:
        note = f"read as HTML source; only its text needs an extra. {how_to_install(EXTRA)}"
        return ExtractedText(plain.text, plain.encoding, "text", (note,))
    return ExtractedText(await asyncio.to_thread(clean_text, text), plain.encoding, kind, notes)


def _decode_html(data: bytes, *, name: str) -> DecodedText:
    """Return the source of a page; its declared encoding comes before any detection, but after valid UTF-8."""
    declared = _META_CHARSET.search(data[:_HTML_HEAD])
    if declared is None or bom_encoding(data)[0] or b"\0" in data:
        return decode_text(data, name=name)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        try:
            encoding = codecs.lookup(declared[1].decode("ascii")).name
            return DecodedText(clean_text(data.decode(encoding)), encoding)
        except (LookupError, UnicodeDecodeError):
            # The declaration is wrong: detected below.
            pass
    return decode_text(data, name=name)


def decode_text(data: bytes, *, name: str) -> DecodedText:
    r"""Return the text of a text file.

    The encoding is that of a byte order mark, else UTF-8 if the file is valid UTF-8, UTF-16 if its NUL bytes show that,
    else what the detector finds likely from 64 kB around the first byte that is not ASCII. CRLF and CR become "\n".
    Control characters other than "\n", "\t" and "\f" become U+FFFD one for one: they mean nothing to a model, and
    must not reach a terminal through its answer. An empty file is an empty text.

    Call it in a thread, since it is CPU work; between chunks of 1 MB other threads get their turn.

    Args:
        data: The whole content.
        name: What errors call the file.

    Raises:
        NotText: It is not text; the message says what it is, and never quotes it.
    """
    if not data:
        return DecodedText("", "utf-8")
    encoding, start = bom_encoding(data)
    if encoding:
        return DecodedText(clean_text(_decode_marked(data[start:], encoding, name)), encoding)
    check_text(data, name=name)
    if b"\0" in data:
        encoding = _unmarked_utf16(data)
        if not encoding:
            raise _not_text(name, "it has NUL bytes, so it is not text", "Give a text file.")
        return DecodedText(clean_text(_decode_marked(data, encoding, name)), encoding)
    # ESC is not counted: logs with colours are full of it.
    control_bytes = len(data) - len(data.translate(None, _CONTROL_BYTES))
    if control_bytes > max(4, len(data) * _MAX_ERROR_RATE):
        raise _not_text(name, "it is full of control characters, so it is not text", "Give a text file.")
    try:
        return DecodedText(clean_text(data.decode("utf-8")), "utf-8")
    except UnicodeDecodeError as error:
        encoding = _detect_encoding(data, error.start)
    if not encoding:
        raise _not_text(name, "its encoding is unknown, or it is not text", "Save it as UTF-8.")
    # Only a sample was looked at: bytes that are invalid elsewhere become U+FFFD.
    return DecodedText(clean_text(data.decode(encoding, "replace")), encoding)


def bom_encoding(data: bytes) -> tuple[str, int]:
    """Return the encoding of a byte order mark and the length of the mark; ("", 0) if there is none."""
    return next(((encoding, len(mark)) for mark, encoding in _BYTE_ORDER_MARKS if data.startswith(mark)), ("", 0))


def check_text(data: bytes, *, name: str) -> None:
    """Raise if the first bytes are those of a binary file.

    Raises:
        NotText: It is binary; the message says what it is and what to do.
    """
    if binary := binary_type(data):
        raise _not_text(name, f"it is {binary.description}, not text", binary.next_step)


def _not_text(name: str, reason: str, next_step: str) -> NotText:
    return NotText(f"{quoted(name)} is not read: {reason}.", next_step=next_step)


def _decode_marked(data: bytes, encoding: str, name: str) -> str:
    text = data.decode(encoding, "replace")
    if text.count("\ufffd") > len(text) * _MAX_ERROR_RATE:
        raise _not_text(name, f"it is marked as {encoding} but is not", "Save it as UTF-8.")
    return text


def _unmarked_utf16(data: bytes) -> str:
    """Return "utf-16-le" or "utf-16-be" for data with NUL bytes but no byte order mark, "" for neither."""
    low, high = data[: 2 * _SAMPLE : 2].count(0), data[1 : 2 * _SAMPLE : 2].count(0)
    encoding = "utf-16-le" if high > low else "utf-16-be"
    # ASCII text in UTF-16 has many NUL bytes, all in the high bytes; NUL bytes in both mean other data.
    if len(data) % 2 or min(low, high) or max(low, high) < min(len(data) // 2, _SAMPLE) // 3:
        return ""
    try:
        start = data[: 2 * _SAMPLE].decode(encoding)
        data.decode(encoding)
    except UnicodeDecodeError:
        return ""
    return "" if _CONTROL_CHARACTERS.search(start) else encoding


def _detect_encoding(data: bytes, first: int) -> str:
    """Return the likeliest encoding of data that is not UTF-8, "" for none; `first` is the first invalid byte."""
    from charset_normalizer import from_bytes

    if _is_damaged_utf8(data[max(0, first - _SAMPLE) : first + _SAMPLE]):
        return "utf-8"
    start = max(data.rfind(b"\n", max(0, first - 1_000), first) + 1, first - 1_000, 0)
    sample = data[start : start + _SAMPLE]
    if len(data) > start + _SAMPLE:
        # Cut at white space, which is never part of a multi-byte character.
        sample = sample[: max(sample.rfind(b"\n"), sample.rfind(b" ")) + 1 or _SAMPLE]
    matches = list(from_bytes(sample, cp_isolation=list(_CANDIDATES)))
    if not matches:
        best = from_bytes(sample, threshold=_RELAXED_THRESHOLD, cp_isolation=list(_CANDIDATES)).best()
        return best.encoding if best is not None else ""
    # Short texts cannot tell the code pages of Latin letters apart; cp1252 is by far the most common one.
    cp1252 = [match for match in matches if "cp1252" in (match.encoding, *match.could_be_from_charset)]
    return "cp1252" if cp1252 and cp1252[0].coherence >= matches[0].coherence - 0.05 else matches[0].encoding


def _is_damaged_utf8(sample: bytes) -> bool:
    # Another encoding has hardly any valid UTF-8 sequence; damaged UTF-8 has few invalid ones.
    text = sample.decode("utf-8", "replace")
    invalid = text.count("\ufffd")
    return len(text) - len(text.encode("ascii", "ignore")) > 5 * invalid


def clean_text(text: str) -> str:
    """Return text with "\\n" as the only line break and U+FFFD for control characters; see `decode_text`."""
    # In chunks: one search over 20 MB would hold the GIL for a tenth of a second.
    starts = range(0, len(text), _CHUNK)
    if any(_CONTROL_CHARACTERS.search(text, start, start + _CHUNK) for start in starts):
        text = "".join(_clean_chunk(text, start) for start in starts)
    elif "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text


def _clean_chunk(text: str, start: int) -> str:
    chunk = text[start : start + _CHUNK]
    if start and chunk[0] == "\n" and text[start - 1] == "\r":
        # A CRLF across the boundary: the chunk before made a line break of its CR.
        chunk = chunk[1:]
    chunk = chunk.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL_CHARACTERS.sub("\ufffd", chunk)
