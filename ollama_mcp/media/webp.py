"""The structure of a WebP file (RFC 9649)."""

from __future__ import annotations

from ollama_mcp.media.anatomy import Anatomy, damaged


def webp_anatomy(data: bytes) -> Anatomy:
    """Return the structure of a WebP, by its first chunk; the decoder would make room for its canvas at once.

    Raises:
        InvalidArgument: It is damaged.
    """
    size = _size(data)
    if size is None:
        raise damaged("WebP", "its header cannot be read")
    return Anatomy("WEBP", "WebP", data, size, 17.0, orientation=0)


def _size(data: bytes) -> tuple[int, int] | None:
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None
