"""From a file to plain RGB pixels of the size that is sent. Imports Pillow: load it late.

Pixels of any kind made plain: opaque, 8 bits, sRGB. Imports Pillow: load it late.
"""

from __future__ import annotations

import importlib
import io
import re
import warnings
from dataclasses import dataclass
from math import ceil
from typing import Any, cast

from PIL import Image, ImageCms, UnidentifiedImageError

from ollama_mcp.media.file_types import UnusableMedia
from ollama_mcp.media.image_headers import ImageHeader, damaged
from ollama_mcp.media.image_headers.jpeg import MAX_PROFILE_BYTES
from ollama_mcp.media.image_headers.tiff import exif_orientation, read_first_directory
from ollama_mcp.settings.access import ImageSettings

# What decoding may take at its peak, in bytes, besides the file itself: over base the process stays below 300 MB.
MAX_DECODE_BYTES = 230_000_000
HEAVY_PIXELS = 24_000_000
_CONTAINERS = ("WEBP", "AVIF", "HEIF")
_TIFF_START = re.compile(rb"II\*\0|MM\0\*")
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pixels in one block, as PILLOW_BLOCK_SIZE does: above 32 MB the C library gives such a block back to the system when
# it is freed. Pillow's blocks of 16 MB stay in the heap of each thread, and two threads would hold twice the memory.
cast("Any", Image.core).set_block_size(512 << 20)


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded image: RGB, upright, reduced; `size` is the upright size of the original."""

    image: Image.Image
    size: tuple[int, int]
    notes: tuple[str, ...]


def target_size(size: tuple[int, int], edge: int) -> tuple[int, int]:
    """Return the size with the longest edge at most `edge`, never enlarged, no side under one pixel."""
    longest = max(size)
    if longest <= edge:
        return size
    return max(1, round(size[0] * edge / longest)), max(1, round(size[1] * edge / longest))


def image_size(anatomy: ImageHeader) -> tuple[int, int]:
    """Return width and height by the header, nothing decoded.

    Raises:
        UnusableMedia: The decoder does not take it.
    """
    return anatomy.size or _open(anatomy, io.BytesIO(anatomy.data)).size


def check_limits(anatomy: ImageHeader, size: tuple[int, int], edge: int, settings: ImageSettings) -> int:
    """Return the bytes of memory that decoding takes, once the image is within the limits.

    Raises:
        UnusableMedia: It has too many pixels; the message names the limit.
    """
    pixels = size[0] * size[1]
    limit, setting = settings.max_megapixels, "images.max_megapixels"
    if anatomy.supports_draft:
        limit, setting = settings.max_megapixels_jpeg, "images.max_megapixels_jpeg"
    if pixels > limit * 1e6:
        raise _too_many_pixels(size, f"at most {limit:g} megapixels are read (setting {setting})")
    longest = max(target_size(size, edge))
    scale = next(scale for scale in (8, 4, 2, 1) if max(size) >= scale * longest) if anatomy.supports_draft else 1
    memory = int(pixels / scale**2 * anatomy.bytes_per_pixel)
    if memory > MAX_DECODE_BYTES:
        # Rounded down: an image of what the message allows must pass.
        most = MAX_DECODE_BYTES * scale**2 / anatomy.bytes_per_pixel // 1e5 / 10
        raise _too_many_pixels(
            size,
            f"decoding {anatomy.label} of this kind has memory for at most {most:g} megapixels",
            "Give it as PNG or baseline JPEG, or smaller.",
        )
    return memory


def decode_image(anatomy: ImageHeader, edge: int, settings: ImageSettings) -> DecodedImage:
    """Return the pixels, with the longest edge at most `edge` pixels; the file in `anatomy` is dropped.

    Raises:
        UnusableMedia: It is damaged or larger than the limits.
    """
    size = image_size(anatomy)
    check_limits(anatomy, size, edge, settings)
    try:
        stream = io.BytesIO(anatomy.data)
        image = _open(anatomy, stream)
        # Formats hide a second size in their pixels' own header; the first one was a lie then.
        if image.size != size:
            raise damaged(anatomy.label, "it states two sizes")
        target = target_size(size, edge)
        if anatomy.supports_draft:
            image.draft(None, target)
        image.load()
        # The pixels are there: the file, which they keep open, need not fill the memory beside them.
        anatomy.data = b""
        stream.close()
        frames: int = getattr(image, "n_frames", 1) if anatomy.format in _CONTAINERS else 1
        exif, profile = image.info.get("exif"), image.info.get("icc_profile")
        turn = anatomy.orientation or (exif_orientation(exif) if isinstance(exif, bytes) else 1)
        image, notes = flatten(image, target)
        image = image.resize(target, Image.Resampling.LANCZOS)
        rgb = to_srgb(image, profile)
    except UnusableMedia:
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels(size, "its pixels are more than its header says") from None
    except MemoryError:
        raise _too_many_pixels(size, "there is not enough memory for it") from None
    except Exception as error:
        # Decoders raise nearly anything on crafted files; their texts may quote the file.
        raise damaged(anatomy.label, f"it cannot be decoded ({type(error).__name__})") from error
    if turn in _TRANSPOSITIONS:
        rgb = rgb.transpose(_TRANSPOSITIONS[turn])
        size = (size[1], size[0]) if turn >= 5 else size
    rgb.info = {}
    return DecodedImage(rgb, size, (*anatomy.notes, *(("first of several images",) if frames > 1 else ()), *notes))


def _open(anatomy: ImageHeader, stream: io.BytesIO) -> Image.Image:
    _silence_decoders()
    if anatomy.format == "HEIF":
        _register_heif()
    if anatomy.format in ("HEIF", "AVIF"):
        _check_embedded_exif(anatomy)
    try:
        return Image.open(stream, formats=[anatomy.format])
    except Image.DecompressionBombError:
        raise UnusableMedia(
            "it has more than 178 megapixels, the most that any image may have.", next_step="Give a smaller image."
        ) from None
    except UnidentifiedImageError:
        raise damaged(anatomy.label, "its header cannot be read") from None
    except Exception as error:
        raise damaged(anatomy.label, f"its header cannot be read ({type(error).__name__})") from error


def _silence_decoders() -> None:
    # Set again each time: cheap, and other code's `catch_warnings` takes it away. The size is judged by our limits.
    for module in (r"PIL\.", r"pillow_heif"):
        warnings.filterwarnings("ignore", module=module)


def _register_heif() -> None:
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        raise UnusableMedia(
            "it is HEIC, which needs an extra that is not installed.",
            next_step="Install it: `pip install 'ollama-mcp-server[heic]'`, or convert the image to JPEG.",
        ) from None


def _check_embedded_exif(anatomy: ImageHeader) -> None:
    # These decoders hand Exif to Pillow, which reads every entry: entries that all point at one large block fill the
    # memory. The block may lie anywhere in the file.
    for match in _TIFF_START.finditer(anatomy.data):
        block = anatomy.data[match.start() : match.start() + MAX_PROFILE_BYTES]
        directory = read_first_directory(block)
        if (
            directory
            and sum(entry.bytes for entry in directory.entries if entry.bytes <= len(block)) > MAX_PROFILE_BYTES
        ):
            raise damaged(anatomy.label, f"its Exif is larger than {MAX_PROFILE_BYTES // 1_000_000} MB")


def _too_many_pixels(size: tuple[int, int], why: str, next_step: str = "Give a smaller image.") -> UnusableMedia:
    return UnusableMedia(f"it has {size[0]} x {size[1]} pixels; {why}.", next_step=next_step)


_BAND_PIXELS = 2_000_000


def flatten(image: Image.Image, target: tuple[int, int]) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the image as L, CMYK or RGB without transparency, and what that changed.

    It is reduced by a whole factor on the way, to at most about thrice the edges of `target`.
    """
    factor = max(1, ceil(min(image.width / target[0], image.height / target[1]) / 3))
    stretch = _value_range(image)
    rows = max(1, _BAND_PIXELS // image.width // factor) * factor
    out: Image.Image | None = None
    transparent = image.has_transparency_data
    for top in range(0, image.height, rows):
        # By bands: converting the whole would double the memory.
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        band = _flatten_band(band, transparent, stretch)
        band = band.reduce(factor) if factor > 1 else band
        if out is None:
            out = Image.new(band.mode, (band.width, ceil(image.height / factor)))
        out.paste(band, (0, top // factor))
    assert out is not None
    return out, ("transparent parts made white",) if transparent else ()


def _value_range(image: Image.Image) -> tuple[float, float]:
    # The values that become black and white, for images of one channel with more than 8 bits.
    if image.mode.startswith("I;16"):
        return 0.0, 65_535.0
    if image.mode not in ("I", "F"):
        return 0.0, 255.0
    lowest, highest = image.getextrema()
    assert isinstance(lowest, int | float) and isinstance(highest, int | float)
    return (lowest, highest) if highest > lowest else (lowest, lowest + 1)


def _flatten_band(band: Image.Image, transparent: bool, value_range: tuple[float, float]) -> Image.Image:
    if band.mode.startswith("I") or band.mode == "F":
        low, high = value_range
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
    if isinstance(profile, bytes) and 0 < len(profile) <= MAX_PROFILE_BYTES:
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
