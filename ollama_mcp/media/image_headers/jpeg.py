"""JPEG (ITU-T T.81, JFIF, Exif)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from ollama_mcp.media.image_headers import ImageHeader, damaged
from ollama_mcp.media.image_headers.tiff import exif_orientation

MAX_SEGMENTS = 4096
# The decoder passes over the whole image for each scan of a progressive file; real files have about ten.
MAX_SCANS = 64
MAX_PROFILE_BYTES = 4_000_000

_SOS, _EOI = 0xDA, 0xD9
# Start-of-frame markers; the three others of the range are DHT, JPG and DAC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Baseline and extended sequential: decoded row by row, without all coefficients in memory.
_SEQUENTIAL_FRAMES = (0xC0, 0xC1)
_SEARCH_STEP = 1 << 18
_PROFILE = b"ICC_PROFILE\0"
# In scan data FF is followed by 00 or by a restart marker (D0 to D7); anything else is the next marker.
_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")


@dataclass(slots=True)
class _Segments:
    """What was found on the way through the segments of a file."""

    kept: list[bytes | memoryview] = field(default_factory=list[bytes | memoryview])
    dropped: bool = False
    frame: tuple[int, bytes] | None = None
    scans: int = 0
    first_scan_components: int = 0
    orientation: int = 1
    profile: int = 0
    adobe: bool = False


def parse_jpeg(data: bytes) -> ImageHeader:
    """Return the header of a JPEG; its minimal file has only tables, frame, scans and colour profile.

    Raises:
        UnusableMedia: It is damaged.
    """
    segments = _Segments()
    end = _read_segments(data, segments)
    if segments.frame is None or not segments.scans:
        raise damaged("JPEG", "it has no image")
    marker, header = segments.frame
    height, width = int.from_bytes(header[1:3], "big"), int.from_bytes(header[3:5], "big")
    components = header[5]
    if not (width and height and components and len(header) >= 6 + 3 * components):
        raise damaged("JPEG", "its header is incomplete")
    sequential = marker in _SEQUENTIAL_FRAMES and segments.scans == 1 and segments.first_scan_components == components
    # An Adobe segment changes how colours are coded, an ICC profile what they mean; four components are CMYK.
    plain = (
        not segments.dropped
        and end == len(data)
        and components in (1, 3)
        and not segments.profile
        and not segments.adobe
    )
    return ImageHeader(
        "JPEG",
        "JPEG",
        data if plain else b"".join([b"\xff\xd8", *segments.kept]),
        (width, height),
        4.0 + (0.0 if sequential else _coefficient_bytes(header)),
        orientation=segments.orientation,
        supports_draft=sequential,
        passthrough=plain and segments.orientation == 1,
    )


def _read_segments(data: bytes, segments: _Segments) -> int:
    position = 2
    for _ in range(MAX_SEGMENTS):
        match = _NEXT_MARKER.match(data, position)
        if match is None:
            raise damaged("JPEG", "a segment is broken or missing")
        marker = match[1][0]
        position = match.end()
        if marker == _EOI:
            segments.kept.append(b"\xff\xd9")
            return position
        length = int.from_bytes(data[position : position + 2], "big")
        content = data[position + 2 : position + length]
        if length < 2 or len(content) != length - 2:
            raise damaged("JPEG", "it is truncated")
        end = position + length
        if marker == _SOS:
            end = _end_of_scan(data, end)
            _count_scan(content, segments)
        if _keep_segment(marker, content, segments):
            segments.kept += [b"\xff", match[1], memoryview(data)[position:end]]
        else:
            segments.dropped = True
        position = end
    raise damaged("JPEG", f"it has more than {MAX_SEGMENTS} segments")


def _end_of_scan(data: bytes, start: int) -> int:
    # In steps, since one search over 50 MB would hold the GIL for a quarter of a second.
    for position in range(start, len(data), _SEARCH_STEP):
        match = _NEXT_MARKER.search(data, position, position + _SEARCH_STEP + 1)
        if match is not None:
            return match.start()
        # Yields the GIL to a waiting event loop now, rather than after the switch interval of 5 ms.
        time.sleep(0)
    raise damaged("JPEG", "it is truncated")


def _count_scan(content: bytes, segments: _Segments) -> None:
    segments.scans += 1
    if segments.scans == 1:
        segments.first_scan_components = content[0] if content else 0
    if segments.scans > MAX_SCANS:
        raise damaged("JPEG", f"it has more than {MAX_SCANS} scans")


def _keep_segment(marker: int, content: bytes, segments: _Segments) -> bool:
    if marker in _FRAMES:
        if segments.frame is not None:
            raise damaged("JPEG", "it has two headers")
        segments.frame = (marker, content)
    elif marker == 0xE0:
        # A longer JFIF segment holds a thumbnail.
        return content.startswith(b"JFIF\0") and len(content) == 14
    elif marker == 0xE1:
        if content.startswith(b"Exif\0\0"):
            segments.orientation = exif_orientation(content)
        return False
    elif marker == 0xE2 and content.startswith(_PROFILE):
        segments.profile += len(content)
        return segments.profile <= MAX_PROFILE_BYTES
    elif marker == 0xEE and content.startswith(b"Adobe"):
        segments.adobe = True
    elif 0xE2 <= marker <= 0xEF or marker == 0xFE:
        return False
    return True


def _coefficient_bytes(header: bytes) -> float:
    # The decoder keeps all coefficients of progressive and multi-scan files, two bytes each, until the last scan. It
    # may copy them; 2.2 is what was measured.
    factors = [header[7 + 3 * index] for index in range(header[5])]
    areas = [(factor >> 4) * (factor & 15) for factor in factors]
    return 2.2 * sum(areas) / max(1, *areas)
