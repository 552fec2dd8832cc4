"""Pixels of any kind made plain: opaque, 8 bits, sRGB. Imports Pillow: load it late."""

from __future__ import annotations

import io
from math import ceil
from typing import Any, cast

from PIL import Image, ImageCms

from ollama_mcp.media.jpeg import LARGEST_PROFILE

_BAND_PIXELS = 2_000_000


def plain(image: Image.Image, target: tuple[int, int]) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the image as L, CMYK or RGB without transparency, and what that changed.

    It is reduced by a whole factor on the way, to at most about thrice the edges of `target`.
    """
    factor = max(1, ceil(min(image.width / target[0], image.height / target[1]) / 3))
    stretch = _range(image)
    rows = max(1, _BAND_PIXELS // image.width // factor) * factor
    out: Image.Image | None = None
    transparent = image.has_transparency_data
    for top in range(0, image.height, rows):
        # By bands: converting the whole would double the memory.
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        band = _plain_band(band, transparent, stretch)
        band = band.reduce(factor) if factor > 1 else band
        if out is None:
            out = Image.new(band.mode, (band.width, ceil(image.height / factor)))
        out.paste(band, (0, top // factor))
    assert out is not None
    return out, ("transparent parts made white",) if transparent else ()


def _range(image: Image.Image) -> tuple[float, float]:
    # The values that become black and white, for images of one channel with more than 8 bits.
    if image.mode.startswith("I;16"):
        return 0.0, 65_535.0
    if image.mode not in ("I", "F"):
        return 0.0, 255.0
    lowest, highest = image.getextrema()
    assert isinstance(lowest, int | float) and isinstance(highest, int | float)
    return (lowest, highest) if highest > lowest else (lowest, lowest + 1)


def _plain_band(band: Image.Image, transparent: bool, stretch: tuple[float, float]) -> Image.Image:
    if band.mode.startswith("I") or band.mode == "F":
        low, high = stretch
        factor, offset = 255 / (high - low), -low * 255 / (high - low)

        def scaled(value: Any) -> Any:
            return value * factor + offset

        return cast("Image.Image", cast("Any", band).point(scaled).convert("L"))
    if transparent:
        band = band.convert("RGBA")
        white = Image.new("RGB", band.size, "white")
        white.paste(band, mask=band.getchannel("A"))
        return white
    return band if band.mode in ("L", "RGB", "CMYK") else band.convert("RGB")


def to_srgb(image: Image.Image, profile: object) -> Image.Image:
    """Return the image as RGB in the sRGB colour space, converted by its ICC profile if it has a usable one."""
    if isinstance(profile, bytes) and 0 < len(profile) <= LARGEST_PROFILE:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.ImageCmsProfile(cast("Any", ImageCms).createProfile("sRGB"))
            converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            # A profile that does not fit its image: without it colours are a little off, no more.
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")
