"""GIF (GIF89a specification)."""

from __future__ import annotations

from ollama_mcp.media.image_headers import ImageHeader, damaged

# Introducers of the blocks after the header.
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = 0xF9
MAX_BLOCKS = 400_000


def parse_gif(data: bytes) -> ImageHeader:
    """Return the header of a GIF; its minimal file holds the first frame without comments.

    Raises:
        UnusableMedia: It is damaged.
    """
    # Signature and screen descriptor have 13 bytes; the global palette follows.
    position = 13 + _palette_size(data, 10)
    kept = [data[:position]]
    while _byte_at(data, position) == _EXTENSION:
        end = _end_of_blocks(data, position + 2)
        if _byte_at(data, position + 1) == _GRAPHIC_CONTROL:
            # The last one before the image counts: it has the transparent colour.
            kept[1:] = [data[position:end]]
        position = end
    if _byte_at(data, position) != _IMAGE:
        raise damaged("GIF", "it has no image")
    # The image descriptor has 10 bytes, then come its palette and a byte of the LZW code size.
    end = _end_of_blocks(data, position + 11 + _palette_size(data, position + 9))
    kept += [data[position:end], bytes([_TRAILER])]
    more = _has_next_frame(data, end)
    size = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    notes = ("first frame of an animation",) if more else ()
    return ImageHeader("GIF", "GIF", b"".join(kept), size, 4.0, notes=notes)


def _has_next_frame(data: bytes, position: int) -> bool:
    while data[position : position + 1] == bytes([_EXTENSION]):
        position = _end_of_blocks(data, position + 2)
    return data[position : position + 1] == bytes([_IMAGE])


def _byte_at(data: bytes, position: int) -> int:
    if position >= len(data):
        raise damaged("GIF", "it is truncated")
    return data[position]


def _palette_size(data: bytes, flags_at: int) -> int:
    flags = _byte_at(data, flags_at)
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(data: bytes, position: int) -> int:
    for _ in range(MAX_BLOCKS):
        length = _byte_at(data, position)
        position += length + 1
        if not length:
            return position
    raise damaged("GIF", f"one part has more than {MAX_BLOCKS} blocks")
