"""The structure of a TIFF file (TIFF 6.0, BigTIFF)."""

from __future__ import annotations

import struct

from ollama_mcp.media.anatomy import Anatomy, damaged
from ollama_mcp.media.exif import ORIENTATION, Directory, Entry, first_directory

LARGEST_VALUE = 4_000_000
LARGEST_TILE = 4096 * 4096
_WIDTH, _HEIGHT, _COMPRESSION, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 259, 322, 323
# All that makes up the pixels and their colours; dates, places, thumbnails and private tags are not among them.
_NEEDED = frozenset(
    (
        *(_WIDTH, _HEIGHT, 258, _COMPRESSION, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320),
        *(_TILE_WIDTH, _TILE_HEIGHT, 324, 325, 332, 338, 339, 347, 529, 530, 531, 532, 34675),
    )
)


def tiff_anatomy(data: bytes) -> Anatomy:
    """Return the structure of a TIFF; its minimal file has one directory with the tags of the pixels.

    Raises:
        InvalidArgument: It is damaged.
    """
    directory = first_directory(data)
    if directory is None:
        raise damaged("TIFF", "its directory cannot be read")
    entries = [entry for entry in directory.entries if entry.tag in _NEEDED]
    if any(entry.bytes > min(LARGEST_VALUE, len(data)) for entry in entries):
        raise damaged("TIFF", "an entry is larger than the file or than 4 MB")
    if directory.value(_TILE_WIDTH) * directory.value(_TILE_HEIGHT) > LARGEST_TILE:
        raise damaged("TIFF", "its tiles are larger than 16 megapixels")
    turned = directory.value(ORIENTATION, 1)
    return Anatomy(
        "TIFF",
        "TIFF",
        _with_directory(data, directory, entries),
        (directory.value(_WIDTH), directory.value(_HEIGHT)),
        4.0 if directory.value(_COMPRESSION, 1) == 1 else 10.0,
        orientation=turned if 1 <= turned <= 8 else 1,
        notes=("first page of several",) if directory.next else (),
    )


def _with_directory(data: bytes, directory: Directory, entries: list[Entry]) -> bytes:
    # Values are found by their offset in the file, so a shorter directory can simply stand at its end.
    order, big = directory.order, directory.big
    at = len(data) + len(data) % 2
    pointer = struct.pack(order + ("Q" if big else "I"), at)
    count = struct.pack(order + ("Q" if big else "H"), len(entries))
    head = 8 if big else 4
    return b"".join(
        [data[:head], pointer, data[head + len(pointer) :], bytes(at - len(data)), count]
        + [entry.raw for entry in entries]
        + [bytes(len(pointer))]
    )
