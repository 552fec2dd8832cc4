"""The structure of an ICO file: a directory of images, each a PNG or a bitmap without its file header."""

from __future__ import annotations

import struct

from ollama_mcp.media.anatomy import Anatomy, damaged
from ollama_mcp.media.png import SIGNATURE, png_anatomy


def ico_anatomy(data: bytes) -> Anatomy:
    """Return the structure of an ICO; its minimal file holds the largest of its images alone.

    Raises:
        InvalidArgument: It is damaged.
    """
    count = int.from_bytes(data[4:6], "little")
    if not count or len(data) < 6 + 16 * count:
        raise damaged("ICO", "its directory is incomplete")
    entries = [data[6 + 16 * index : 22 + 16 * index] for index in range(count)]
    largest = max(entries, key=_weight)
    length, offset = struct.unpack_from("<II", largest, 8)
    image = data[offset : offset + length]
    if not image or len(image) < length:
        raise damaged("ICO", "it is truncated")
    notes = (f"largest of {count} icons",) if count > 1 else ()
    if image.startswith(SIGNATURE):
        inner = png_anatomy(image, "ICO")
        return Anatomy("PNG", "ICO", inner.data, inner.size, inner.bytes_per_pixel, notes=notes)
    width, height = struct.unpack_from("<ii", image.ljust(16, b"\0"), 4)
    minimal = b"".join([b"\0\0\1\0\1\0", largest[:12], (22).to_bytes(4, "little"), image])
    # The bitmap's height counts its mask too.
    return Anatomy("ICO", "ICO", minimal, (abs(width), abs(height) // 2), 12.0, notes=notes)


def _weight(entry: bytes) -> tuple[int, int]:
    # 0 stands for 256; of two images of one size the one with more bits per pixel shows more.
    return (entry[0] or 256) * (entry[1] or 256), int.from_bytes(entry[6:8], "little")
