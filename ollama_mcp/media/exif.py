"""TIFF directories, which Exif uses too: just enough of them, read with limits (TIFF 6.0 and BigTIFF)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

ORIENTATION = 0x0112
MOST_ENTRIES = 4096
# Bytes of one value of each field type; types 13 and 16 to 18 are of later supplements.
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a directory: `raw` is the whole entry, `value` its first integer (0 where it holds none)."""

    tag: int
    type: int
    count: int
    bytes: int
    value: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Directory:
    """The first directory of a TIFF structure; `order` is a struct prefix, `next` the offset of the next one."""

    order: str
    big: bool
    entries: tuple[Entry, ...]
    next: int

    def value(self, tag: int, default: int = 0) -> int:
        """Return the first integer of a tag."""
        return next((entry.value for entry in self.entries if entry.tag == tag), default)


def first_directory(data: bytes) -> Directory | None:
    """Return the first directory, or None where there is none that can be read within limits."""
    try:
        return _read(data)
    except (struct.error, OverflowError):
        return None


def _read(data: bytes) -> Directory | None:
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
    if count > MOST_ENTRIES:
        return None
    first = start + struct.calcsize(order + count_form)
    entries = tuple(_entry(data, first + index * size, order, big) for index in range(count))
    following: int = struct.unpack_from(order + offset_form, data, first + count * size)[0]
    return Directory(order, big, entries, following)


def _entry(data: bytes, at: int, order: str, big: bool) -> Entry:
    head, room = ("HHQ", 8) if big else ("HHI", 4)
    tag, kind, count = struct.unpack_from(order + head, data, at)
    size = _TYPE_SIZES.get(kind, 1) * count
    slot = at + struct.calcsize(order + head)
    form = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(kind)
    value = 0
    if form and count:
        place = slot if size <= room else struct.unpack_from(order + ("Q" if big else "I"), data, slot)[0]
        value = struct.unpack_from(order + form, data, place)[0]
    return Entry(tag, kind, count, size, value, data[at : slot + room])


def orientation(exif: bytes) -> int:
    """Return the orientation in an Exif block, with or without its `Exif` prefix: 1 to 8; 1 where it says none."""
    directory = first_directory(exif.removeprefix(b"Exif\0\0"))
    value = directory.value(ORIENTATION, 1) if directory else 1
    return value if 1 <= value <= 8 else 1
