"""From a file to plain RGB pixels of the size that is sent. Imports Pillow: load it late."""

from __future__ import annotations

import importlib
import io
import re
import warnings
from dataclasses import dataclass
from typing import Any, cast

from PIL import Image, UnidentifiedImageError

from ollama_mcp.media.anatomy import Anatomy, UnusableMedia, damaged
from ollama_mcp.media.exif import first_directory, orientation
from ollama_mcp.media.jpeg import LARGEST_PROFILE
from ollama_mcp.media.plain import plain, to_srgb
from ollama_mcp.settings.access import ImageSettings

# What decoding may take at its peak, in bytes, besides the file itself: over base the process stays below 300 MB.
MEMORY = 230_000_000
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
class Pixels:
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


def header_size(anatomy: Anatomy) -> tuple[int, int]:
    """Return width and height by the header, nothing decoded.

    Raises:
        UnusableMedia: The decoder does not take it.
    """
    return anatomy.size or _opened(anatomy, io.BytesIO(anatomy.data)).size


def check_limits(anatomy: Anatomy, size: tuple[int, int], edge: int, settings: ImageSettings) -> int:
    """Return the bytes of memory that decoding takes, once the image is within the limits.

    Raises:
        UnusableMedia: It has too many pixels; the message names the limit.
    """
    pixels = size[0] * size[1]
    limit, setting = settings.max_megapixels, "images.max_megapixels"
    if anatomy.scales:
        limit, setting = settings.max_megapixels_jpeg, "images.max_megapixels_jpeg"
    if pixels > limit * 1e6:
        raise _too_many(size, f"at most {limit:g} megapixels are read (setting {setting})")
    longest = max(target_size(size, edge))
    scale = next(scale for scale in (8, 4, 2, 1) if max(size) >= scale * longest) if anatomy.scales else 1
    memory = int(pixels / scale**2 * anatomy.bytes_per_pixel)
    if memory > MEMORY:
        # Rounded down: an image of what the message allows must pass.
        most = MEMORY * scale**2 / anatomy.bytes_per_pixel // 1e5 / 10
        raise _too_many(
            size,
            f"decoding {anatomy.label} of this kind has memory for at most {most:g} megapixels",
            "Give it as PNG or baseline JPEG, or smaller.",
        )
    return memory


def decode(anatomy: Anatomy, edge: int, settings: ImageSettings) -> Pixels:
    """Return the pixels, with the longest edge at most `edge` pixels; the file in `anatomy` is dropped.

    Raises:
        UnusableMedia: It is damaged or larger than the limits.
    """
    size = header_size(anatomy)
    check_limits(anatomy, size, edge, settings)
    try:
        stream = io.BytesIO(anatomy.data)
        image = _opened(anatomy, stream)
        # Formats hide a second size in their pixels' own header; the first one was a lie then.
        if image.size != size:
            raise damaged(anatomy.label, "it states two sizes")
        target = target_size(size, edge)
        if anatomy.scales:
            image.draft(None, target)
        image.load()
        # The pixels are there: the file, which they keep open, need not fill the memory beside them.
        anatomy.data = b""
        stream.close()
        frames: int = getattr(image, "n_frames", 1) if anatomy.format in _CONTAINERS else 1
        exif, profile = image.info.get("exif"), image.info.get("icc_profile")
        turn = anatomy.orientation or (orientation(exif) if isinstance(exif, bytes) else 1)
        image, notes = plain(image, target)
        image = image.resize(target, Image.Resampling.LANCZOS)
        rgb = to_srgb(image, profile)
    except UnusableMedia:
        raise
    except Image.DecompressionBombError:
        raise _too_many(size, "its pixels are more than its header says") from None
    except MemoryError:
        raise _too_many(size, "there is not enough memory for it") from None
    except Exception as error:
        # Decoders raise nearly anything on crafted files; their texts may quote the file.
        raise damaged(anatomy.label, f"it cannot be decoded ({type(error).__name__})") from error
    if turn in _TRANSPOSITIONS:
        rgb = rgb.transpose(_TRANSPOSITIONS[turn])
        size = (size[1], size[0]) if turn >= 5 else size
    rgb.info = {}
    return Pixels(rgb, size, (*anatomy.notes, *(("first of several images",) if frames > 1 else ()), *notes))


def _opened(anatomy: Anatomy, stream: io.BytesIO) -> Image.Image:
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


def _check_embedded_exif(anatomy: Anatomy) -> None:
    # These decoders hand Exif to Pillow, which reads every entry: entries that all point at one large block fill the
    # memory. The block may lie anywhere in the file.
    for match in _TIFF_START.finditer(anatomy.data):
        block = anatomy.data[match.start() : match.start() + LARGEST_PROFILE]
        directory = first_directory(block)
        if directory and sum(entry.bytes for entry in directory.entries if entry.bytes <= len(block)) > LARGEST_PROFILE:
            raise damaged(anatomy.label, f"its Exif is larger than {LARGEST_PROFILE // 1_000_000} MB")


def _too_many(size: tuple[int, int], why: str, next_step: str = "Give a smaller image.") -> UnusableMedia:
    return UnusableMedia(f"it has {size[0]} x {size[1]} pixels; {why}.", next_step=next_step)
