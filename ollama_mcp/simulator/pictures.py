"""What an image or a sound is, told from its first bytes: enough for a simulated model to say something about it."""

from __future__ import annotations

import struct


def described(data: bytes) -> str:
    """Such as "a 640x480 PNG image of 12345 bytes" or "a WAV sound of 12345 bytes"."""
    if sound := _sound(data):
        return f"{sound} sound of {len(data)} bytes"
    kind, size = _kind_and_size(data)
    shown = f"{size[0]}x{size[1]} {kind}" if size else kind
    return f"a {shown} image of {len(data)} bytes"


def _sound(data: bytes) -> str:
    """The kind of a sound with its article, "" where it is none; sounds come among the images."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "a WAV"
    # An ID3 tag, or the sync of an MPEG frame, whose layer bits are never 0 as an AAC's are.
    is_frame = len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[1] & 0x06 != 0
    return "an MP3" if data.startswith(b"ID3") or is_frame else ""


def _kind_and_size(data: bytes) -> tuple[str, tuple[int, int] | None]:
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return "PNG", struct.unpack(">II", data[16:24])
    if data.startswith(b"\xff\xd8"):
        return "JPEG", _jpeg_size(data)
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        return "GIF", struct.unpack("<HH", data[6:10])
    if data.startswith(b"BM") and len(data) >= 26:
        return "BMP", struct.unpack("<II", data[18:26])
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP", None
    return "unknown", None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 < len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        # The frame headers C0 to CF hold the size; C4, C8 and CC are tables.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        place += 2 + length
    return None
