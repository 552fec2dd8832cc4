"""Image headers: what is known of an image before a decoder sees it, one module per format.

Decoders read much that is not pixels: text, Exif, colour profiles, thumbnails, further frames. Crafted files make that
part cost gigabytes or hours. So each parser walks the structure of the file and passes on a minimal file: the pixels of
the first image and what is needed to show them correctly.
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
