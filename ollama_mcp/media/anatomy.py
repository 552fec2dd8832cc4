"""What is known of an image before a decoder sees it.

Decoders read much that is not pixels: text, Exif, profiles, thumbnails, further frames. Crafted files make that part
cost gigabytes or hours. So each format's own module walks the file's structure first and passes on a minimal file: the
pixels of the first image and what is needed to show them rightly.
"""

from __future__ import annotations

from dataclasses import dataclass

from ollama_mcp.errors import InvalidArgument


@dataclass(slots=True)
class Anatomy:
    """The structure of one image.

    Args:
        format: Pillow's name of the decoder.
        label: The format's name for people.
        data: The minimal file; empty once its pixels are loaded, since both together fill the memory.
        size: Width and height in pixels; None where only the decoder can tell.
        bytes_per_pixel: Memory that decoding takes at its peak, as measured.
        orientation: Exif orientation, 1 to 8; 0 if the decoder's own `info` holds it.
        scales: Whether the decoder can decode at a half, a quarter or an eighth (baseline JPEG).
        untouched: Whether the file is what Ollama takes, with nothing to strip or convert.
        notes: What was left out and matters, for the receipt.
    """

    format: str
    label: str
    data: bytes
    size: tuple[int, int] | None
    bytes_per_pixel: float
    orientation: int = 1
    scales: bool = False
    untouched: bool = False
    notes: tuple[str, ...] = ()


class UnusableMedia(InvalidArgument):
    """The content is nothing that a model takes; the message says what it is and expects its source before it."""


def damaged(label: str, why: str) -> UnusableMedia:
    """Return the error for a file whose structure is broken."""
    return UnusableMedia(f"it is a damaged {label} file: {why}.", next_step="Save it anew, or give another image.")
