"""Sources of images and audio: a string is a path, an http(s) address, a data: URI, or base64."""

from __future__ import annotations

import binascii
import io
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from ollama_mcp.access import Access, Purpose
from ollama_mcp.access.path_syntax import SENT
from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.media.file_types import UnusableMedia, image_format, is_audio

MAX_DISPLAY_NAME = 60
# At least two characters: one letter before a colon is a Windows drive.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
# Small chunks: the decoder holds the GIL, and the event loop must get its turn in between.
_DECODE_STEP = 1 << 18
_NORMALIZE = str.maketrans("-_", "+/", " \t\r\n\f\v")
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_= \t\r\n\f\v")
_ACCEPTED = "Give a path, an http(s) address, a data: URI, or base64."


@dataclass(frozen=True, slots=True)
class Source:
    """Where one image or audio file comes from.

    Args:
        display_name: What receipts and errors call it: never its content, nor the query of an address.
        kind: "path", "url", "data" or "base64".
        text: The string as given.
        fetched: The response body, if it is an address.
    """

    display_name: str
    kind: str
    text: str
    fetched: bytes = b""

    def read(self, access: Access, limit: int, media_types: tuple[str, ...]) -> bytes:
        """Return the content, at most `limit` bytes; call it in a thread, since it reads from disk and decodes.

        Raises:
            OllamaMCPError: As `Access.open_file`, `decode_base64` and `decode_data_uri`.
        """
        if self.kind == "path":
            with access.open_file(self.text, Purpose.IMAGE) as file:
                return file.read(limit, setting="images.max_bytes")
        if self.kind == "data":
            return decode_data_uri(self.text, limit, media_types)
        if self.kind == "base64":
            return decode_base64(self.text, limit)
        if len(self.fetched) > limit:
            raise too_large(limit)
        return self.fetched


def parse_source(text: str, *, audio: bool = False) -> Source:
    """Return the source that a string means.

    Args:
        text: The string as given.
        audio: Whether audio is expected rather than an image.

    Raises:
        InvalidArgument: It is empty, or an address whose scheme is not supported.
    """
    text = text.strip()
    if not text:
        raise InvalidArgument("the source is empty.", next_step=_ACCEPTED)
    start = text[:16].lower()
    if start.startswith("data:"):
        return Source(f"a data: URI ({_approximate_size(text)})", "data", text)
    if start.startswith(("http:", "https:")):
        return Source(quoted(re.split(r"[?#]", text, maxsplit=1)[0], MAX_DISPLAY_NAME), "url", text)
    if _is_base64(text, audio):
        return Source(f"base64 text ({_approximate_size(text)})", "base64", text)
    if _SCHEME.match(text) and not start.startswith(("file:", SENT)):
        raise InvalidArgument(f"{quoted(text, MAX_DISPLAY_NAME)} has an unsupported scheme.", next_step=_ACCEPTED)
    return Source(quoted(text, MAX_DISPLAY_NAME), "path", text)


def _is_base64(text: str, audio: bool) -> bool:
    if not looks_like_base64(text):
        return False
    # Base64 of a JPEG starts with "/9j/", as a path might; what decodes to an image's first bytes is not a path.
    head = decode_prefix(text)
    if image_format(head) or (audio and is_audio(head)):
        return True
    # No file name is longer than 255 bytes.
    return len(text) > 255 and not text.startswith("/")


def _approximate_size(text: str) -> str:
    return f"{max(1, len(text) * 3 // 4000)} kB"


def looks_like_base64(text: str) -> bool:
    """Tell whether the start of a text is nothing but base64 in either alphabet, with line breaks."""
    return _ALPHABET.issuperset(text[:4096])


def decode_prefix(text: str) -> bytes:
    """Return the first bytes of base64 text, to tell their type; empty if they cannot be decoded."""
    start = text[:256].translate(_NORMALIZE).rstrip("=")
    try:
        return binascii.a2b_base64(start[: len(start) // 4 * 4])
    except binascii.Error:
        return b""


def decode_base64(text: str, limit: int, start: int = 0) -> bytes:
    """Return the bytes of base64 text; line breaks, the URL-safe alphabet and missing padding are accepted.

    Args:
        text: The text.
        limit: Maximum number of bytes.
        start: Where in the text it begins; a slice would be one more copy of a large text.

    Raises:
        UnusableMedia: It is not base64, is cut off in the middle of a byte, or is too large.
    """
    # Base64 is a third longer than its bytes, and line breaks add a few percent; the exact size is checked below.
    if len(text) - start > limit * 1.5 + 1024:
        raise too_large(limit)
    decoded = io.BytesIO()
    pending = ""
    try:
        for position in range(start, len(text), _DECODE_STEP):
            pending += text[position : position + _DECODE_STEP].translate(_NORMALIZE)
            # Whole groups of four; the last one is left for the end, since padding may be missing.
            whole = (len(pending) - 1) // 4 * 4
            decoded.write(binascii.a2b_base64(pending[:whole], strict_mode=True))
            pending = pending[whole:]
        pending = pending.rstrip("=")
        decoded.write(binascii.a2b_base64(pending + "=" * (-len(pending) % 4), strict_mode=True))
    except ValueError:
        raise UnusableMedia(
            "it is not valid base64.", next_step="Send the complete file as base64, or give its path instead."
        ) from None
    if decoded.tell() > limit:
        raise too_large(limit)
    return decoded.getvalue()


def decode_data_uri(uri: str, limit: int, media_types: tuple[str, ...]) -> bytes:
    """Return the bytes of a data: URI (RFC 2397).

    Args:
        uri: The URI.
        limit: Maximum number of bytes.
        media_types: Accepted media types, by prefix; a URI without a type is accepted too.

    Raises:
        UnusableMedia: It has another type, or its content cannot be decoded or is too large.
    """
    comma = uri.find(",", 0, 1024)
    if comma < 0:
        raise UnusableMedia("it has no comma, which a data: URI requires.", next_step="Write data:image/png;base64,...")
    kind, *parameters = [part.strip().lower() for part in uri[len("data:") : comma].split(";")]
    if kind and not kind.startswith((*media_types, "application/octet-stream")):
        raise UnusableMedia(
            f"its declared type is not {' or '.join(media_types)}...", next_step="Give data of that type, or a path."
        )
    if "base64" in parameters:
        # Some encoders escape "+", "/" and "=" in base64 too.
        if "%" in uri[comma : comma + 4096]:
            return decode_base64(unquote_to_bytes(uri[comma + 1 :]).decode("latin-1"), limit)
        return decode_base64(uri, limit, comma + 1)
    # An escaped byte takes three characters.
    if len(uri) - comma > 3 * limit:
        raise too_large(limit)
    data = unquote_to_bytes(uri[comma + 1 :])
    if len(data) > limit:
        raise too_large(limit)
    return data


def too_large(limit: int) -> UnusableMedia:
    """Return the error for content that has more bytes than `limit`."""
    return UnusableMedia(
        f"it is larger than {limit / 1e6:g} MB (setting images.max_bytes).", next_step="Give a smaller file."
    )


def with_position(error: OllamaMCPError, position: str, source: Source | None) -> OllamaMCPError:
    """Return the error with the position in the list of the call, and the source if the message lacks it."""
    subject = f"{position}: {source.display_name}: " if source and isinstance(error, UnusableMedia) else f"{position}: "
    error.message = subject + error.message
    error.args = (error.message,)
    return error
