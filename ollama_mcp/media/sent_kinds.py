"""The kind of a file that a client sends, by its first bytes."""

from __future__ import annotations

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.gguf import MAGIC
from ollama_mcp.media.file_types import file_kind, is_audio
from ollama_mcp.media.text import bom_encoding, decode_text

HEAD_BYTES = 65_536
"""Enough to tell the kind."""
_MAX_HEADER = 100_000_000


def sent_kind(head: bytes, name: str) -> str:
    """What a file is: text, html, notebook, pdf, docx, image, audio or model; call it in a thread.

    Args:
        head: Its first `HEAD_BYTES` at least, or all of it.
        name: Its name, which tells kinds of text apart, as where the file is read later.

    Raises:
        InvalidArgument: It is empty, or nothing that a model is given; the message says what it is.
    """
    if not head:
        raise InvalidArgument("it is empty.", next_step="Send a file that has content.")
    kind = file_kind(head, name)
    # A mark of UTF-16 begins as a frame of MP3 does.
    if kind in ("image", "pdf", "docx") or bom_encoding(head)[0]:
        return kind
    if head.startswith(MAGIC) or _is_safetensors(head):
        return "model"
    if is_audio(head):
        return "audio"
    head = head[:HEAD_BYTES]
    if len(head) == HEAD_BYTES and b"\0" not in head:
        # Cut at white space, which is never part of a character of several bytes.
        head = head[: max(head.rfind(b"\n"), head.rfind(b" ")) + 1 or HEAD_BYTES]
    decode_text(head, name=name)
    return kind


def _is_safetensors(head: bytes) -> bool:
    # The length of a JSON object, and the object.
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _MAX_HEADER
