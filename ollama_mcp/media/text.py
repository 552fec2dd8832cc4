"""Bytes of a file to text as a model gets it: any common encoding, one kind of line break, nothing a terminal obeys.

The text in a file's bytes, whatever the file is.
"""

from __future__ import annotations

import asyncio
import codecs
import re
from dataclasses import dataclass
from typing import NamedTuple

from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.media.documents import INSTALL_COMMAND
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
# What files of people are written in; left free, the detector prefers rare code pages on short texts.
_CANDIDATES = (
    "cp1252",
    "cp1250",
    "cp1251",
    "koi8_r",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp932",
    "euc_jp",
    "iso2022_jp",
    "gb18030",
    "big5",
    "cp949",
)
_SAMPLE = 65_536
# How unlike any language a text may be for the detector (its own default is 0.2); random bytes are beyond this too.
_RELAXED_THRESHOLD = 0.45
_CHUNK = 1_000_000
_CONTROL_BYTES = bytes(code for code in range(32) if code not in b"\t\n\f\r") + b"\x7f"
# The C1 controls too, which terminals obey as they do their ESC spellings (ECMA-48).
_CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_MAX_ERROR_RATE = 0.1


class NotText(InvalidArgument):
    """A file is no text that can be read; the message says what it is."""


class DecodedText(NamedTuple):
    """A file's text, and the encoding it came in, such as "utf-8"."""

    text: str
    encoding: str


def decode_text(data: bytes, *, name: str) -> DecodedText:
    r"""Return the text of a file.

    A byte order mark decides; else it is UTF-8 where it is valid as such, UTF-16 where its NUL bytes show that, and
    else what the detector finds likely from 64 kB around the first byte that is not ASCII. CRLF and CR become "\n".
    Control characters other than "\n", "\t" and "\f" become U+FFFD one for one: they mean nothing to a model, and
    must not reach a terminal through its answer. An empty file is an empty text.

    It holds the processor and belongs in a thread; between pieces of 1 MB other threads get their turn.

    Args:
        data: The whole content.
        name: What errors call the file.

    Raises:
        NotText: It is no text; the message says what it is, and never quotes it.
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
            raise _not_text(name, "it has NUL bytes, so it is no text", "Give a text file.")
        return DecodedText(clean_text(_decode_marked(data, encoding, name)), encoding)
    if len(data) - len(data.translate(None, _CONTROL_BYTES.replace(b"\x1b", b""))) > max(
        4, len(data) * _MAX_ERROR_RATE
    ):
        raise _not_text(name, "it is full of control characters, so it is no text", "Give a text file.")
    try:
        return DecodedText(clean_text(data.decode("utf-8")), "utf-8")
    except UnicodeDecodeError as error:
        encoding = _detect_encoding(data, error.start)
    if not encoding:
        raise _not_text(name, "its encoding is none that is known, or it is no text", "Save it as UTF-8.")
    # What is valid in the sample may not be so everywhere; a damaged byte is shown as such.
    return DecodedText(clean_text(data.decode(encoding, "replace")), encoding)


def bom_encoding(data: bytes) -> tuple[str, int]:
    """Return the encoding that a byte order mark names and the mark's length; ("", 0) where there is none."""
    return next(((encoding, len(mark)) for mark, encoding in _BYTE_ORDER_MARKS if data.startswith(mark)), ("", 0))


def check_text(data: bytes, *, name: str) -> None:
    """Refuse what is known to be no text by its first bytes.

    Raises:
        NotText: It is binary; the message says what it is and what to do.
    """
    if binary := binary_type(data):
        raise _not_text(name, f"it is {binary.description}, not text", binary.next_step)


def _not_text(name: str, why: str, step: str) -> NotText:
    return NotText(f"{quoted(name)} is not read: {why}.", next_step=step)


def _decode_marked(data: bytes, encoding: str, name: str) -> str:
    text = data.decode(encoding, "replace")
    if text.count("\ufffd") > len(text) * _MAX_ERROR_RATE:
        raise _not_text(name, f"it is marked as {encoding} but is not", "Save it as UTF-8.")
    return text


def _unmarked_utf16(data: bytes) -> str:
    """Which UTF-16 it is, when it has NUL bytes but no mark; "" for neither."""
    low, high = data[: 2 * _SAMPLE : 2].count(0), data[1 : 2 * _SAMPLE : 2].count(0)
    encoding = "utf-16-le" if high > low else "utf-16-be"
    # ASCII in UTF-16 has its NUL bytes on one side, and many; both sides together are other data.
    if len(data) % 2 or min(low, high) or max(low, high) < min(len(data) // 2, _SAMPLE) // 3:
        return ""
    try:
        start = data[: 2 * _SAMPLE].decode(encoding)
        data.decode(encoding)
    except UnicodeDecodeError:
        return ""
    return "" if _CONTROL_CHARACTERS.search(start) else encoding


def _detect_encoding(data: bytes, first: int) -> str:
    """The likeliest encoding of what is not UTF-8, judged from the first byte that shows it; "" for none."""
    from charset_normalizer import from_bytes

    if _is_damaged_utf8(data[max(0, first - _SAMPLE) : first + _SAMPLE]):
        return "utf-8"
    start = max(data.rfind(b"\n", max(0, first - 1_000), first) + 1, first - 1_000, 0)
    sample = data[start : start + _SAMPLE]
    if len(data) > start + _SAMPLE:
        # Cut at white space, which is never a half of a character of several bytes.
        sample = sample[: max(sample.rfind(b"\n"), sample.rfind(b" ")) + 1 or _SAMPLE]
    found = list(from_bytes(sample, cp_isolation=list(_CANDIDATES)))
    if not found:
        best = from_bytes(sample, threshold=_RELAXED_THRESHOLD, cp_isolation=list(_CANDIDATES)).best()
        return best.encoding if best is not None else ""
    # By far the most common of the code pages for Latin letters, which short texts cannot tell apart.
    usual = [match for match in found if "cp1252" in (match.encoding, *match.could_be_from_charset)]
    return "cp1252" if usual and usual[0].coherence >= found[0].coherence - 0.05 else found[0].encoding


def _is_damaged_utf8(sample: bytes) -> bool:
    text = sample.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    return len(text) - len(text.encode("ascii", "ignore")) > 5 * wrong


def clean_text(text: str) -> str:
    """Return text with one kind of line break, and U+FFFD for what a terminal would obey; see `decode_text`."""
    # In pieces: one search over 20 MB would keep every other thread waiting for a tenth of a second.
    starts = range(0, len(text), _CHUNK)
    if any(_CONTROL_CHARACTERS.search(text, start, start + _CHUNK) for start in starts):
        text = "".join(_clean_chunk(text, start) for start in starts)
    elif "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text


def _clean_chunk(text: str, start: int) -> str:
    piece = text[start : start + _CHUNK]
    if start and piece[0] == "\n" and text[start - 1] == "\r":
        # The piece before made a break of that CR already.
        piece = piece[1:]
    piece = piece.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL_CHARACTERS.sub("\ufffd", piece)


_HTML_NAMES = (".html", ".htm", ".xhtml")
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype html|html)\b", re.IGNORECASE | re.DOTALL
)
# The HTML standard looks for it in the first 1,024 bytes.
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_HEAD = 1024


@dataclass(frozen=True, slots=True)
class ExtractedText:
    """The text of a file.

    Args:
        text: With line breaks of one kind; see `decode_text`.
        encoding: Encoding of a file of text; "" for other documents.
        kind: "text", "pdf", "docx", "html" or "notebook".
        notes: What was left out and matters, for the receipt; never content.
    """

    text: str
    encoding: str
    kind: str
    notes: tuple[str, ...] = ()


async def extract_text(data: bytes, *, name: str, max_characters: int, fetched: bool = False) -> ExtractedText:
    """Return the text of a file: plain text in any common encoding, PDF, DOCX, HTML or a notebook.

    Work on the processor is done in a thread, on documents in a process of their own.

    Args:
        data: The whole content.
        name: Its name or address, for errors and where the kind goes by it.
        most: Most characters of text out of a document.
        fetched: As for `kind_of`.

    Raises:
        MissingExtra: A PDF or DOCX, and the extra `docs` is not installed.
        InvalidArgument: It has no text: an image, a binary file, a scan, a damaged or encrypted document.
    """
    kind = file_kind(data, name, fetched=fetched)
    if kind in ("pdf", "docx"):
        text, notes = await convert_document(data, kind, name=name, max_characters=max_characters)
        return ExtractedText(await asyncio.to_thread(clean_text, text), "", kind, notes)
    plain = await asyncio.to_thread(_decode_html if kind == "html" else _decode_plain, data, name)
    if kind in ("text", "image") or not plain.text.strip():
        return ExtractedText(plain.text, plain.encoding, "text")
    try:
        text, notes = await convert_document(plain.text.encode(), kind, name=name, max_characters=max_characters)
    except MissingExtra:
        note = f"read as the page's source; its text alone takes: {INSTALL_COMMAND}"
        return ExtractedText(plain.text, plain.encoding, "text", (note,))
    return ExtractedText(await asyncio.to_thread(clean_text, text), plain.encoding, kind, notes)


def _decode_plain(data: bytes, name: str) -> DecodedText:
    return decode_text(data, name=name)


def _decode_html(data: bytes, name: str) -> DecodedText:
    """A page's source: what it says of its own encoding comes before any guess."""
    declared = _META_CHARSET.search(data[:_HEAD])
    if declared is None or bom_encoding(data)[0] or b"\0" in data:
        return decode_text(data, name=name)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        try:
            encoding = codecs.lookup(declared[1].decode("ascii")).name
            return DecodedText(clean_text(data.decode(encoding)), encoding)
        except (LookupError, UnicodeDecodeError):
            pass
    return decode_text(data, name=name)
