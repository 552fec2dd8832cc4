"""From pixels to the file that is sent: PNG or JPEG, without any metadata. Imports Pillow: load it late."""

from __future__ import annotations

import io

from PIL import Image

# Line art and screenshots stay sharp as PNG; photographs, and what reducing has blurred, have more colours.
MOST_COLOURS = 4096
LARGEST_PNG = 2_000_000
LOSSLESS = frozenset({"PNG", "GIF", "BMP", "ICO", "TIFF"})


def encode(image: Image.Image, label: str, quality: int) -> tuple[str, bytes]:
    """Return format and bytes of an RGB image.

    Args:
        image: The pixels.
        label: Format the image came in; what came lossless with few colours leaves lossless.
        quality: Quality of a JPEG, 1 to 100.
    """
    if label in LOSSLESS and image.getcolors(MOST_COLOURS) is not None:
        png = _saved(image, "PNG", compress_level=6)
        if len(png) <= LARGEST_PNG:
            return "PNG", png
    return "JPEG", _saved(image, "JPEG", quality=quality)


def _saved(image: Image.Image, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
