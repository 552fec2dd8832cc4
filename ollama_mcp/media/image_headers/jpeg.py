"""The structure of a JPEG file (ITU-T T.81, JFIF, Exif)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from ollama_mcp.media.image_headers import ImageHeader, damaged
from ollama_mcp.media.image_headers.tiff import exif_orientation

MAX_SEGMENTS = 4096
# Each scan of a progressive file passes over the whole image; real ones have about ten.
MAX_SCANS = 64
MAX_PROFILE_BYTES = 4_000_000

_SOS, _EOI = 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL_FRAMES = (0xC0, 0xC1)
_PIECE = 1 << 18
_PROFILE = b"ICC_PROFILE\0"
_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")


@dataclass(slots=True)
class _Segments:
    kept: list[bytes | memoryview] = field(default_factory=list[bytes | memoryview])
    dropped: bool = False
    frame: tuple[int, bytes] | None = None
    scans: int = 0
    first_scan_components: int = 0
    orientation: int = 1
    profile: int = 0
    adobe: bool = False


def parse_jpeg(data: bytes) -> ImageHeader:
    """Return the structure of a JPEG; only tables, frame, scans and colour profile stay in its minimal file.

    Raises:
        InvalidArgument: It is damaged.
    """
    walk = _Segments()
    end = _read_segments(data, walk)
    if walk.frame is None or not walk.scans:
        raise damaged("JPEG", "it has no image")
    marker, header = walk.frame
    height, width = int.from_bytes(header[1:3], "big"), int.from_bytes(header[3:5], "big")
    components = header[5]
    if not (width and height and components and len(header) >= 6 + 3 * components):
        raise damaged("JPEG", "its header is incomplete")
    streamed = marker in _SEQUENTIAL_FRAMES and walk.scans == 1 and walk.first_scan_components == components
    untouched = not walk.dropped and end == len(data) and components in (1, 3) and not walk.profile and not walk.adobe
    return ImageHeader(
        "JPEG",
        "JPEG",
        data if untouched else b"".join([b"\xff\xd8", *walk.kept]),
        (width, height),
        4.0 + (0.0 if streamed else _coefficient_bytes(header)),
        orientation=walk.orientation,
        supports_draft=streamed,
        passthrough=untouched and walk.orientation == 1,
    )


def _read_segments(data: bytes, walk: _Segments) -> int:
    position = 2
    for _ in range(MAX_SEGMENTS):
        match = _NEXT_MARKER.match(data, position)
        if match is None:
            raise damaged("JPEG", "a segment is broken or missing")
        marker = match[1][0]
        position = match.end()
        if marker == _EOI:
            walk.kept.append(b"\xff\xd9")
            return position
        length = int.from_bytes(data[position : position + 2], "big")
        content = data[position + 2 : position + length]
        if length < 2 or len(content) != length - 2:
            raise damaged("JPEG", "it is truncated")
        end = position + length
        if marker == _SOS:
            end = _end_of_scan(data, end)
            _count_scan(content, walk)
        if _keep_segment(marker, content, walk):
            walk.kept += [b"\xff", match[1], memoryview(data)[position:end]]
        else:
            walk.dropped = True
        position = end
    raise damaged("JPEG", f"it has more than {MAX_SEGMENTS} segments")


def _end_of_scan(data: bytes, start: int) -> int:
    # In pieces, since one search over 50 MB would hold the interpreter's lock for a quarter of a second.
    for position in range(start, len(data), _PIECE):
        match = _NEXT_MARKER.search(data, position, position + _PIECE + 1)
        if match is not None:
            return match.start()
        # Gives the lock to the event loop now, if it waits, rather than after the interpreter's 5 ms.
        time.sleep(0)
    raise damaged("JPEG", "it is truncated")


def _count_scan(content: bytes, walk: _Segments) -> None:
    walk.scans += 1
    if walk.scans == 1:
        walk.first_scan_components = content[0] if content else 0
    if walk.scans > MAX_SCANS:
        raise damaged("JPEG", f"it has more than {MAX_SCANS} scans")


def _keep_segment(marker: int, content: bytes, walk: _Segments) -> bool:
    if marker in _FRAMES:
        if walk.frame is not None:
            raise damaged("JPEG", "it has two headers")
        walk.frame = (marker, content)
    elif marker == 0xE0:
        # A longer one holds a thumbnail.
        return content.startswith(b"JFIF\0") and len(content) == 14
    elif marker == 0xE1:
        if content.startswith(b"Exif\0\0"):
            walk.orientation = exif_orientation(content)
        return False
    elif marker == 0xE2 and content.startswith(_PROFILE):
        walk.profile += len(content)
        return walk.profile <= MAX_PROFILE_BYTES
    elif marker == 0xEE and content.startswith(b"Adobe"):
        walk.adobe = True
    elif 0xE2 <= marker <= 0xEF or marker == 0xFE:
        return False
    return True


def _coefficient_bytes(header: bytes) -> float:
    # Progressive and multi-scan files keep all coefficients, two bytes each, until the last scan has come; twice where
    # libjpeg copies them, about 1.5 times as measured.
    factors = [header[7 + 3 * index] for index in range(header[5])]
    areas = [(factor >> 4) * (factor & 15) for factor in factors]
    return 2.2 * sum(areas) / max(1, *areas)
