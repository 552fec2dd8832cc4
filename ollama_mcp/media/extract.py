"""The text in a file's bytes, whatever the file is."""

from __future__ import annotations

import asyncio
import codecs
import os
import re
from dataclasses import dataclass

from ollama_mcp.media.binary import looks_like_image
from ollama_mcp.media.documents.process import MissingExtra, convert
from ollama_mcp.media.documents.words import INSTALL
from ollama_mcp.media.texts import Text, clean_text, decode_text, marked_encoding

_HTML_NAMES = (".html", ".htm", ".xhtml")
_PAGE = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype html|html)\b", re.IGNORECASE | re.DOTALL)
# The HTML standard looks for it in the first 1,024 bytes.
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_HEAD = 1024


@dataclass(frozen=True, slots=True)
class Extract:
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


def kind_of(data: bytes, name: str, *, fetched: bool = False) -> str:
    """Return what a file is read as: "image", "pdf", "docx", "html", "notebook" or "text".

    Contents decide, but a notebook and a page on the disk are known by their names, since JSON and markup may stand in
    any file, and so is a DOCX of which only the start is at hand.

    Args:
        data: All of it or the start, 1 kB at least.
        name: Its name or address.
        fetched: Whether it comes from an address: what looks like a page is one then, whatever its name.
    """
    suffix = os.path.splitext(name)[1].lower()
    if looks_like_image(data):
        return "image"
    if data.startswith(b"%PDF-"):
        return "pdf"
    if data.startswith(b"PK\3\4") and (suffix == ".docx" or b"word/document.xml" in data):
        return "docx"
    if suffix == ".ipynb":
        return "notebook"
    if suffix in _HTML_NAMES or (fetched and _PAGE.match(data[:_HEAD])):
        return "html"
    return "text"


async def extract_text(data: bytes, *, name: str, most: int, fetched: bool = False) -> Extract:
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
    kind = kind_of(data, name, fetched=fetched)
    if kind in ("pdf", "docx"):
        text, notes = await convert(data, kind, name=name, most=most)
        return Extract(await asyncio.to_thread(clean_text, text), "", kind, notes)
    plain = await asyncio.to_thread(_page_text if kind == "html" else _plain_text, data, name)
    if kind in ("text", "image") or not plain.text.strip():
        return Extract(plain.text, plain.encoding, "text")
    try:
        text, notes = await convert(plain.text.encode(), kind, name=name, most=most)
    except MissingExtra:
        note = f"read as the page's source; its text alone takes: {INSTALL}"
        return Extract(plain.text, plain.encoding, "text", (note,))
    return Extract(await asyncio.to_thread(clean_text, text), plain.encoding, kind, notes)


def _plain_text(data: bytes, name: str) -> Text:
    return decode_text(data, name=name)


def _page_text(data: bytes, name: str) -> Text:
    """A page's source: what it says of its own encoding comes before any guess."""
    declared = _CHARSET.search(data[:_HEAD])
    if declared is None or marked_encoding(data)[0] or b"\0" in data:
        return decode_text(data, name=name)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        try:
            encoding = codecs.lookup(declared[1].decode("ascii")).name
            return Text(clean_text(data.decode(encoding)), encoding)
        except (LookupError, UnicodeDecodeError):
            pass
    return decode_text(data, name=name)
