"""TIFF (TIFF 6.0 and BigTIFF), and Exif, which has the structure of a TIFF file."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ollama_mcp.media.image_headers import ImageHeader, damaged

ORIENTATION = 0x0112
MAX_ENTRIES = 4096
MAX_VALUE_BYTES = 4_000_000
MAX_TILE_PIXELS = 4096 * 4096
_WIDTH, _HEIGHT, _COMPRESSION, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 259, 322, 323
# Tags of the pixels and their colours; dates, places, thumbnails and private tags are dropped.
_KEPT_TAGS = frozenset(
    (
        *(_WIDTH, _HEIGHT, 258, _COMPRESSION, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320),
        *(_TILE_WIDTH, _TILE_HEIGHT, 324, 325, 332, 338, 339, 347, 529, 530, 531, 532, 34675),
    )
)
# Bytes of one value of each field type; types 13 and 16 to 18 come from later supplements and BigTIFF.
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """One entry of a directory.

    Args:
        tag: Number of the tag.
        type: Field type of its values.
        count: Number of values.
        bytes: Size of all values.
        value: The first value if it is an integer, else 0.
        raw: The whole entry as it is in the file.
    """

    tag: int
    type: int
    count: int
    bytes: int
    value: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class TiffDirectory:
    """The first directory of a TIFF structure.

    Args:
        order: Byte order as a prefix of `struct` formats, "<" or ">".
        big: Whether it is BigTIFF.
        entries: Its entries.
        next: Offset of the next directory, 0 for none.
    """

    order: str
    big: bool
    entries: tuple[DirectoryEntry, ...]
    next: int

    def value(self, tag: int, default: int = 0) -> int:
        """Return the first integer of a tag."""
        return next((entry.value for entry in self.entries if entry.tag == tag), default)


def read_first_directory(data: bytes) -> TiffDirectory | None:
    """Return the first directory; None if it cannot be read or has more than `MAX_ENTRIES` entries."""
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
    offset_format, count_format, entry_size = ("Q", "Q", 20) if big else ("I", "H", 12)
    start: int = struct.unpack_from(order + offset_format, data, 8 if big else 4)[0]
    count: int = struct.unpack_from(order + count_format, data, start)[0]
    if count > MAX_ENTRIES:
        return None
    first = start + struct.calcsize(order + count_format)
    entries = tuple(_parse_entry(data, first + index * entry_size, order, big) for index in range(count))
    next_offset: int = struct.unpack_from(order + offset_format, data, first + count * entry_size)[0]
    return TiffDirectory(order, big, entries, next_offset)


def _parse_entry(data: bytes, at: int, order: str, big: bool) -> DirectoryEntry:
    head, inline_bytes = ("HHQ", 8) if big else ("HHI", 4)
    tag, kind, count = struct.unpack_from(order + head, data, at)
    size = _TYPE_SIZES.get(kind, 1) * count
    value_field = at + struct.calcsize(order + head)
    value_format = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(kind)
    value = 0
    if value_format and count:
        # Values that do not fit into the entry stand elsewhere, and it has their offset.
        offset = value_field
        if size > inline_bytes:
            offset = struct.unpack_from(order + ("Q" if big else "I"), data, value_field)[0]
        value = struct.unpack_from(order + value_format, data, offset)[0]
    return DirectoryEntry(tag, kind, count, size, value, data[at : value_field + inline_bytes])


def exif_orientation(exif: bytes) -> int:
    """Return the orientation in an Exif block, with or without its `Exif` prefix: 1 to 8; 1 if it has none."""
    directory = read_first_directory(exif.removeprefix(b"Exif\0\0"))
    value = directory.value(ORIENTATION, 1) if directory else 1
    return value if 1 <= value <= 8 else 1


def parse_tiff(data: bytes) -> ImageHeader:
    """Return the header of a TIFF; its minimal file has one directory with the tags of the pixels.

    Raises:
        UnusableMedia: It is damaged.
    """
    directory = read_first_directory(data)
    if directory is None:
        raise damaged("TIFF", "its directory cannot be read")
    entries = [entry for entry in directory.entries if entry.tag in _KEPT_TAGS]
    if any(entry.bytes > min(MAX_VALUE_BYTES, len(data)) for entry in entries):
        raise damaged("TIFF", "an entry is larger than the file or than 4 MB")
    if directory.value(_TILE_WIDTH) * directory.value(_TILE_HEIGHT) > MAX_TILE_PIXELS:
        raise damaged("TIFF", "its tiles are larger than 16 megapixels")
    orientation = directory.value(ORIENTATION, 1)
    return ImageHeader(
        "TIFF",
        "TIFF",
        _replace_directory(data, directory, entries),
        (directory.value(_WIDTH), directory.value(_HEIGHT)),
        # A compressed strip may hold the whole image, and is decompressed at once.
        4.0 if directory.value(_COMPRESSION, 1) == 1 else 10.0,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        notes=("first page of several",) if directory.next else (),
    )


def _replace_directory(data: bytes, directory: TiffDirectory, entries: list[DirectoryEntry]) -> bytes:
    # Values are found by their offset in the file, so the new directory can stand at its end.
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
