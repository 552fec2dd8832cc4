"""Formats whose file goes to the decoder whole: WebP (RFC 9649), AVIF, HEIF and BMP."""

from __future__ import annotations

from ollama_mcp.media.image_headers import ImageHeader, damaged


def parse_webp(data: bytes) -> ImageHeader:
    """Return the header of a WebP.

    Raises:
        UnusableMedia: It is damaged.
    """
    # Read here, since opening the file with the decoder already allocates the canvas.
    size = _webp_size(data)
    if size is None:
        raise damaged("WebP", "its header cannot be read")
    return ImageHeader("WEBP", "WebP", data, size, 17.0, orientation=0)


def _webp_size(data: bytes) -> tuple[int, int] | None:
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


def parse_avif(data: bytes) -> ImageHeader:
    """Return the header of an AVIF; the decoder tells its size."""
    return ImageHeader("AVIF", "AVIF", data, None, 14.0, orientation=0)


def parse_heif(data: bytes) -> ImageHeader:
    """Return the header of a HEIF; the decoder tells its size and applies its orientation."""
    return ImageHeader("HEIF", "HEIC", data, None, 9.3)


def parse_bmp(data: bytes) -> ImageHeader:
    """Return the header of a BMP; the decoder tells its size."""
    return ImageHeader("BMP", "BMP", data, None, 4.0)
