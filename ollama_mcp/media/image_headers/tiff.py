"""TIFF directories, which Exif uses too: just enough of them, read with limits (TIFF 6.0 and BigTIFF).

The structure of a TIFF file (TIFF 6.0, BigTIFF).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ollama_mcp.media.image_headers import ImageHeader, damaged

ORIENTATION = 0x0112
MAX_ENTRIES = 4096
# Bytes of one value of each field type; types 13 and 16 to 18 are of later supplements.
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """One entry of a directory: `raw` is the whole entry, `value` its first integer (0 where it holds none)."""

    tag: int
    type: int
    count: int
    bytes: int
    value: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class TiffDirectory:
    """The first directory of a TIFF structure; `order` is a struct prefix, `next` the offset of the next one."""

    order: str
    big: bool
    entries: tuple[DirectoryEntry, ...]
    next: int

    def value(self, tag: int, default: int = 0) -> int:
        """Return the first integer of a tag."""
        return next((entry.value for entry in self.entries if entry.tag == tag), default)


def read_first_directory(data: bytes) -> TiffDirectory | None:
    """Return the first directory, or None where there is none that can be read within limits."""
    try:
        return _parse_directory(data)
    except (struct.error, OverflowError):
        return None


def _parse_directory(data: bytes) -> TiffDirectory | None:
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return None
    magic: int = struct.unpack_from(f"{order}H", data, 2)[0]
    if magic not in (42, 43):
        return None
    big = magic == 43
    offset_form, count_form, size = ("Q", "Q", 20) if big else ("I", "H", 12)
    start: int = struct.unpack_from(order + offset_form, data, 8 if big else 4)[0]
    count: int = struct.unpack_from(order + count_form, data, start)[0]
    if count > MAX_ENTRIES:
        return None
    first = start + struct.calcsize(order + count_form)
    entries = tuple(_parse_entry(data, first + index * size, order, big) for index in range(count))
    following: int = struct.unpack_from(order + offset_form, data, first + count * size)[0]
    return TiffDirectory(order, big, entries, following)


def _parse_entry(data: bytes, at: int, order: str, big: bool) -> DirectoryEntry:
    head, room = ("HHQ", 8) if big else ("HHI", 4)
    tag, kind, count = struct.unpack_from(order + head, data, at)
    size = _TYPE_SIZES.get(kind, 1) * count
    slot = at + struct.calcsize(order + head)
    form = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(kind)
    value = 0
    if form and count:
        place = slot if size <= room else struct.unpack_from(order + ("Q" if big else "I"), data, slot)[0]
        value = struct.unpack_from(order + form, data, place)[0]
    return DirectoryEntry(tag, kind, count, size, value, data[at : slot + room])


def exif_orientation(exif: bytes) -> int:
    """Return the orientation in an Exif block, with or without its `Exif` prefix: 1 to 8; 1 where it says none."""
    directory = read_first_directory(exif.removeprefix(b"Exif\0\0"))
    value = directory.value(ORIENTATION, 1) if directory else 1
    return value if 1 <= value <= 8 else 1


MAX_VALUE_BYTES = 4_000_000
MAX_TILE_PIXELS = 4096 * 4096
_WIDTH, _HEIGHT, _COMPRESSION, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 259, 322, 323
# All that makes up the pixels and their colours; dates, places, thumbnails and private tags are not among them.
_KEPT_TAGS = frozenset(
    (
        *(_WIDTH, _HEIGHT, 258, _COMPRESSION, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320),
        *(_TILE_WIDTH, _TILE_HEIGHT, 324, 325, 332, 338, 339, 347, 529, 530, 531, 532, 34675),
    )
)


def parse_tiff(data: bytes) -> ImageHeader:
    """Return the structure of a TIFF; its minimal file has one directory with the tags of the pixels.

    Raises:
        InvalidArgument: It is damaged.
    """
    directory = read_first_directory(data)
    if directory is None:
        raise damaged("TIFF", "its directory cannot be read")
    entries = [entry for entry in directory.entries if entry.tag in _KEPT_TAGS]
    if any(entry.bytes > min(MAX_VALUE_BYTES, len(data)) for entry in entries):
        raise damaged("TIFF", "an entry is larger than the file or than 4 MB")
    if directory.value(_TILE_WIDTH) * directory.value(_TILE_HEIGHT) > MAX_TILE_PIXELS:
        raise damaged("TIFF", "its tiles are larger than 16 megapixels")
    turned = directory.value(ORIENTATION, 1)
    return ImageHeader(
        "TIFF",
        "TIFF",
        _replace_directory(data, directory, entries),
        (directory.value(_WIDTH), directory.value(_HEIGHT)),
        4.0 if directory.value(_COMPRESSION, 1) == 1 else 10.0,
        orientation=turned if 1 <= turned <= 8 else 1,
        notes=("first page of several",) if directory.next else (),
    )


def _replace_directory(data: bytes, directory: TiffDirectory, entries: list[DirectoryEntry]) -> bytes:
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
