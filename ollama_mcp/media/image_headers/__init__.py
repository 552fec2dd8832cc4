"""Image headers: what is known of an image before a decoder sees it.

Decoders read much that is not pixels: text, Exif, colour profiles, thumbnails, further frames. Crafted files make that
part cost gigabytes or hours. So each parser walks the structure of the file and passes on a minimal file: the pixels of
the first image and what is needed to show them correctly.

The simpler design, Pillow alone in a child process with limits of memory and time, was measured (Pillow 13, Linux, two
busy cores) and loses:

- A small image takes at least 390 ms instead of 4, ten at once 4.7 s instead of 0.05: each child starts and imports.
- A PNG of 48 megapixels and 49 MB takes 387 MB in server and child (35 of them the child's start) instead of 228; a
  child that may take 230 MB beyond its start refuses it.
- Only the structure shows whether a file has metadata, so no JPEG could be sent unchanged.
- PNGs with a broken or very large text chunk are refused instead of read.
- Windows has no RLIMIT_AS.
"""

from __future__ import annotations

from dataclasses import dataclass

from ollama_mcp.media.file_types import UnusableMedia


@dataclass(slots=True)
class ImageHeader:
    """The structure of one image.

    Args:
        format: Pillow's name of the decoder.
        label: The format's name for people.
        data: The minimal file; emptied once its pixels are loaded, since file and pixels would be held together.
        size: Width and height in pixels; None if only the decoder can tell.
        bytes_per_pixel: Peak memory of decoding, as measured.
        orientation: Exif orientation, 1 to 8; 0 if the decoder's own `info` holds it.
        supports_draft: Whether the decoder can decode at 1/2, 1/4 or 1/8 of the size (baseline JPEG).
        passthrough: Whether the file can be sent as it is, with nothing to strip or convert.
        notes: What was left out and matters, for the receipt.
    """

    format: str
    label: str
    data: bytes
    size: tuple[int, int] | None
    bytes_per_pixel: float
    orientation: int = 1
    supports_draft: bool = False
    passthrough: bool = False
    notes: tuple[str, ...] = ()


def damaged(label: str, reason: str) -> UnusableMedia:
    """Return the error for a file whose structure is broken."""
    return UnusableMedia(f"it is a damaged {label} file: {reason}.", next_step="Save it again, or give another image.")
