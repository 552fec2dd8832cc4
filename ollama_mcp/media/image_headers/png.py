"""PNG (W3C Portable Network Graphics, third edition) and ICO, a directory of PNGs and bitmaps."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from ollama_mcp.media.image_headers import ImageHeader, damaged
from ollama_mcp.media.image_headers.tiff import exif_orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 65_536
MAX_ANCILLARY_BYTES = 4_000_000
_MAX_IDAT_BYTES = 4 << 20

# What makes up the pixels and their colours.
_KEPT_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"sRGB"})
# A file of these alone is sent unchanged: no palette, no transparency, no colour profile to apply.
_PASSTHROUGH_CHUNKS = frozenset({b"IHDR", b"IDAT", b"IEND", b"sRGB"})


def parse_png(data: bytes, label: str = "PNG") -> ImageHeader:
    """Return the header of a PNG; its minimal file has no text, time, Exif and further frames.

    Raises:
        UnusableMedia: It is damaged.
    """
    kept: list[tuple[int, int]] = []
    names: set[bytes] = set()
    orientation, end = 1, len(SIGNATURE)
    for name, start, end in _chunks(data):
        names.add(name)
        if name == b"eXIf":
            orientation = exif_orientation(data[start + 8 : end - 4][:MAX_ANCILLARY_BYTES])
        if name in _KEPT_CHUNKS and (name == b"IDAT" or end - start <= MAX_ANCILLARY_BYTES):
            kept.append((start, end))
    header = data[16:29]
    if data[12:16] != b"IHDR" or len(header) < 13:
        raise damaged(label, "its header is missing")
    size = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    # Bit depth 8, colour type grey (0) or RGB (2).
    passthrough = names <= _PASSTHROUGH_CHUNKS and end == len(data) and header[8] == 8 and header[9] in (0, 2)
    minimal = data if passthrough else b"".join([SIGNATURE, *_minimal_chunks(data, kept)])
    notes = ("first frame of an animation",) if b"acTL" in names else ()
    return ImageHeader("PNG", label, minimal, size, 4.0, orientation=orientation, passthrough=passthrough, notes=notes)


def _minimal_chunks(data: bytes, kept: list[tuple[int, int]]) -> Iterator[bytes | memoryview]:
    view = memoryview(data)
    for start, end in kept:
        if end - start <= _MAX_IDAT_BYTES:
            yield view[start:end]
            continue
        # Pillow reads what follows the last pixel chunk by chunk, so one chunk of 50 MB would take its size twice.
        for at in range(start + 8, end - 4, _MAX_IDAT_BYTES):
            content = view[at : min(at + _MAX_IDAT_BYTES, end - 4)]
            name = data[start + 4 : start + 8]
            yield from (len(content).to_bytes(4, "big"), name, content)
            yield zlib.crc32(content, zlib.crc32(name)).to_bytes(4, "big")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    position = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        name = data[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if len(name) < 4 or end > len(data):
            raise damaged("PNG", "it is truncated")
        yield name, position, end
        if name == b"IEND":
            return
        position = end
    raise damaged("PNG", f"it has more than {MAX_CHUNKS} chunks")


def parse_ico(data: bytes) -> ImageHeader:
    """Return the header of an ICO; its minimal file holds only the largest of its images.

    Raises:
        UnusableMedia: It is damaged.
    """
    count = int.from_bytes(data[4:6], "little")
    if not count or len(data) < 6 + 16 * count:
        raise damaged("ICO", "its directory is incomplete")
    entries = [data[6 + 16 * index : 22 + 16 * index] for index in range(count)]
    largest = max(entries, key=_icon_size)
    length, offset = struct.unpack_from("<II", largest, 8)
    image = data[offset : offset + length]
    if not image or len(image) < length:
        raise damaged("ICO", "it is truncated")
    notes = (f"largest of {count} icons",) if count > 1 else ()
    if image.startswith(SIGNATURE):
        inner = parse_png(image, "ICO")
        return ImageHeader("PNG", "ICO", inner.data, inner.size, inner.bytes_per_pixel, notes=notes)
    width, height = struct.unpack_from("<ii", image.ljust(16, b"\0"), 4)
    minimal = b"".join([b"\0\0\1\0\1\0", largest[:12], (22).to_bytes(4, "little"), image])
    # The height of the bitmap includes its mask.
    return ImageHeader("ICO", "ICO", minimal, (abs(width), abs(height) // 2), 12.0, notes=notes)


def _icon_size(entry: bytes) -> tuple[int, int]:
    # 0 stands for 256; of images of one size, that with more bits per pixel is the better one.
    return (entry[0] or 256) * (entry[1] or 256), int.from_bytes(entry[6:8], "little")
