"""Images that stand in the call itself: base64 text and data: URIs."""

from __future__ import annotations

import binascii
import io
from urllib.parse import unquote_to_bytes

from ollama_mcp.media.anatomy import UnusableMedia

# Small pieces: the decoder holds the interpreter's lock, and the event loop must get its turn in between.
_PIECE = 1 << 18
_CLEAN = str.maketrans("-_", "+/", " \t\r\n\f\v")
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_= \t\r\n\f\v")


def looks_like_base64(text: str) -> bool:
    """Tell whether the start of a text has nothing but base64 in either alphabet, with line breaks."""
    return _ALPHABET.issuperset(text[:4096])


def first_bytes(text: str) -> bytes:
    """Return the first bytes of base64 text, as far as they decode; for a look at their kind."""
    start = text[:256].translate(_CLEAN).rstrip("=")
    try:
        return binascii.a2b_base64(start[: len(start) // 4 * 4])
    except binascii.Error:
        return b""


def decode_base64(text: str, limit: int, start: int = 0) -> bytes:
    """Return the bytes of base64 text: line breaks, the URL-safe alphabet and missing padding are accepted.

    Args:
        text: The text.
        limit: Most bytes it may hold.
        start: Where in the text it begins; a slice would be one more copy of something large.

    Raises:
        UnusableMedia: It is not base64, is cut off in the middle of a byte, or holds more.
    """
    # Line breaks make it a few percent longer; the exact size is checked below.
    if len(text) - start > limit * 1.5 + 1024:
        raise too_large(limit)
    decoded = io.BytesIO()
    pending = ""
    try:
        for place in range(start, len(text), _PIECE):
            pending += text[place : place + _PIECE].translate(_CLEAN)
            whole = (len(pending) - 1) // 4 * 4
            decoded.write(binascii.a2b_base64(pending[:whole], strict_mode=True))
            pending = pending[whole:]
        pending = pending.rstrip("=")
        decoded.write(binascii.a2b_base64(pending + "=" * (-len(pending) % 4), strict_mode=True))
    except ValueError:
        raise UnusableMedia(
            "it is not valid base64.", next_step="Send the whole file as base64, or give its path instead."
        ) from None
    if decoded.tell() > limit:
        raise too_large(limit)
    return decoded.getvalue()


def decode_data_uri(uri: str, limit: int, kinds: tuple[str, ...]) -> bytes:
    """Return the bytes of a data: URI (RFC 2397).

    Args:
        uri: The URI.
        limit: Most bytes it may hold.
        kinds: Starts of the media types that are accepted; a URI without a type is accepted too.

    Raises:
        UnusableMedia: Its type is another, or its content cannot be decoded or is too large.
    """
    comma = uri.find(",", 0, 1024)
    if comma < 0:
        raise UnusableMedia("it has no comma, which a data: URI needs.", next_step="Write data:image/png;base64,...")
    kind, *parameters = [part.strip().lower() for part in uri[len("data:") : comma].split(";")]
    if kind and not kind.startswith((*kinds, "application/octet-stream")):
        raise UnusableMedia(
            f"its declared type is not {' or '.join(kinds)}...", next_step="Give data of that type, or a path."
        )
    if "base64" in parameters:
        if "%" in uri[comma : comma + 4096]:
            return decode_base64(unquote_to_bytes(uri[comma + 1 :]).decode("latin-1"), limit)
        return decode_base64(uri, limit, comma + 1)
    if len(uri) - comma > 3 * limit:
        raise too_large(limit)
    data = unquote_to_bytes(uri[comma + 1 :])
    if len(data) > limit:
        raise too_large(limit)
    return data


def too_large(limit: int) -> UnusableMedia:
    """Return the error for content above the limit of bytes."""
    return UnusableMedia(
        f"it is larger than {limit / 1e6:g} MB (setting images.max_bytes).", next_step="Give a smaller file."
    )
