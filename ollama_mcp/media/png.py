"""The structure of a PNG file (W3C Portable Network Graphics, third edition)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ollama_mcp.media.anatomy import Anatomy, damaged
from ollama_mcp.media.exif import orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_CHUNKS = 65_536
LARGEST_ASIDE = 4_000_000
_PIECE = 4 << 20

_NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"sRGB"})
_PLAIN = frozenset({b"IHDR", b"IDAT", b"IEND", b"sRGB"})


def png_anatomy(data: bytes, label: str = "PNG") -> Anatomy:
    """Return the structure of a PNG; text, time, Exif and further frames are not in its minimal file.

    Raises:
        InvalidArgument: It is damaged.
    """
    kept: list[tuple[int, int]] = []
    names: set[bytes] = set()
    turned, end = 1, len(SIGNATURE)
    for name, start, end in _chunks(data):
        names.add(name)
        if name == b"eXIf":
            turned = orientation(data[start + 8 : end - 4][:LARGEST_ASIDE])
        if name in _NEEDED and (name == b"IDAT" or end - start <= LARGEST_ASIDE):
            kept.append((start, end))
    header = data[16:29]
    if data[12:16] != b"IHDR" or len(header) < 13:
        raise damaged(label, "its header is missing")
    size = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    untouched = names <= _PLAIN and end == len(data) and header[8] == 8 and header[9] in (0, 2)
    minimal = data if untouched else b"".join([SIGNATURE, *_parts(data, kept)])
    notes = ("first frame of an animation",) if b"acTL" in names else ()
    return Anatomy("PNG", label, minimal, size, 4.0, orientation=turned, untouched=untouched, notes=notes)


def _parts(data: bytes, kept: list[tuple[int, int]]) -> Iterator[bytes | memoryview]:
    view = memoryview(data)
    for start, end in kept:
        if end - start <= _PIECE:
            yield view[start:end]
            continue
        # What follows the last pixel is read by the chunk, so one chunk of 50 MB would take its size twice.
        for at in range(start + 8, end - 4, _PIECE):
            content = view[at : min(at + _PIECE, end - 4)]
            name = data[start + 4 : start + 8]
            yield from (len(content).to_bytes(4, "big"), name, content)
            yield zlib.crc32(content, zlib.crc32(name)).to_bytes(4, "big")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    position = len(SIGNATURE)
    for _ in range(MOST_CHUNKS):
        name = data[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if len(name) < 4 or end > len(data):
            raise damaged("PNG", "it is truncated")
        yield name, position, end
        if name == b"IEND":
            return
        position = end
    raise damaged("PNG", f"it has more than {MOST_CHUNKS} chunks")
