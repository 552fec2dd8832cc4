"""Decodes an image to opaque, upright 8-bit sRGB pixels of the size that is sent. Imports Pillow: import it late."""

from __future__ import annotations

import importlib
import io
import re
import warnings
from dataclasses import dataclass
from math import ceil
from typing import Any, cast

from PIL import Image, ImageCms, UnidentifiedImageError

from ollama_mcp._command import how_to_install
from ollama_mcp.media.file_types import UnusableMedia
from ollama_mcp.media.image_headers import ImageHeader, damaged
from ollama_mcp.media.image_headers.jpeg import MAX_PROFILE_BYTES
from ollama_mcp.media.image_headers.tiff import exif_orientation, read_first_directory
from ollama_mcp.settings.access import ImageSettings

# Peak memory of decoding besides the file itself; with a file of 50 MB the server grows by less than 300 MB.
MAX_DECODE_BYTES = 230_000_000
HEAVY_PIXELS = 24_000_000
_BAND_PIXELS = 2_000_000
# Formats of which only the decoder knows the number of images.
_CONTAINERS = ("WEBP", "AVIF", "HEIF")
_TIFF_START = re.compile(rb"II\*\0|MM\0\*")
# By Exif orientation; 1 is upright.
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pixels in one block, as PILLOW_BLOCK_SIZE does: the C library returns blocks above 32 MB to the system when they are
# freed. Pillow's blocks of 16 MB stay in the heap of each thread, and two threads would hold twice the memory.
cast("Any", Image.core).set_block_size(512 << 20)


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded image.

    Args:
        image: RGB pixels, upright and reduced to the longest edge.
        size: Width and height of the original, upright.
        notes: What was left out or changed, for the receipt.
    """

    image: Image.Image
    size: tuple[int, int]
    notes: tuple[str, ...]


def target_size(size: tuple[int, int], edge: int) -> tuple[int, int]:
    """Return the size with the longest edge at most `edge`, never enlarged, no side under one pixel."""
    longest = max(size)
    if longest <= edge:
        return size
    return max(1, round(size[0] * edge / longest)), max(1, round(size[1] * edge / longest))


def image_size(header: ImageHeader) -> tuple[int, int]:
    """Return width and height by the header, without decoding.

    Raises:
        UnusableMedia: The decoder cannot open it.
    """
    return header.size or _open(header, io.BytesIO(header.data)).size


def check_limits(header: ImageHeader, size: tuple[int, int], edge: int, settings: ImageSettings) -> int:
    """Check the limits of pixels and memory, and return the bytes of memory that decoding takes.

    Raises:
        UnusableMedia: It has too many pixels; the message names the limit.
    """
    pixels = size[0] * size[1]
    limit, setting = settings.max_megapixels, "images.max_megapixels"
    if header.supports_draft:
        limit, setting = settings.max_megapixels_jpeg, "images.max_megapixels_jpeg"
    if pixels > limit * 1e6:
        raise _too_many_pixels(size, f"at most {limit:g} megapixels are read (setting {setting})")
    longest = max(target_size(size, edge))
    scale = next(scale for scale in (8, 4, 2, 1) if max(size) >= scale * longest) if header.supports_draft else 1
    memory = int(pixels / scale**2 * header.bytes_per_pixel)
    if memory > MAX_DECODE_BYTES:
        # Rounded down to 0.1: an image of the size that the message names must pass.
        limit = MAX_DECODE_BYTES * scale**2 / header.bytes_per_pixel // 1e5 / 10
        raise _too_many_pixels(
            size,
            f"decoding {header.label} of this kind has memory for at most {limit:g} megapixels",
            "Give it as PNG or baseline JPEG, or scale it down.",
        )
    return memory


def decode_image(header: ImageHeader, edge: int, settings: ImageSettings) -> DecodedImage:
    """Return the pixels, with the longest edge at most `edge` pixels; the file in `header` is dropped.

    Raises:
        UnusableMedia: It is damaged or larger than the limits.
    """
    size = image_size(header)
    check_limits(header, size, edge, settings)
    try:
        return _decode(header, size, target_size(size, edge))
    except UnusableMedia:
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels(size, "it decodes to more pixels than its header states") from None
    except MemoryError:
        raise _too_many_pixels(size, "there is not enough memory for it") from None
    except Exception as error:
        # Decoders raise nearly anything on crafted files; the exception's text may quote the file.
        raise damaged(header.label, f"it cannot be decoded ({type(error).__name__})") from error


def _decode(header: ImageHeader, size: tuple[int, int], target: tuple[int, int]) -> DecodedImage:
    stream = io.BytesIO(header.data)
    image = _open(header, stream)
    # Some formats state the size again with the pixels; the limits were checked with the first one.
    if image.size != size:
        raise damaged(header.label, "it states two sizes")
    if header.supports_draft:
        image.draft(None, target)
    image.load()
    # The pixels are loaded: the file, which Pillow keeps open, is released before more memory is taken.
    header.data = b""
    stream.close()
    frames: int = getattr(image, "n_frames", 1) if header.format in _CONTAINERS else 1
    exif, profile = image.info.get("exif"), image.info.get("icc_profile")
    orientation = header.orientation or (exif_orientation(exif) if isinstance(exif, bytes) else 1)
    image, notes = flatten(image, target)
    image = image.resize(target, Image.Resampling.LANCZOS)
    rgb = to_srgb(image, profile)
    if orientation in _TRANSPOSITIONS:
        rgb = rgb.transpose(_TRANSPOSITIONS[orientation])
        # 5 to 8 swap width and height.
        size = (size[1], size[0]) if orientation >= 5 else size
    # Pillow would write what is left here, such as a comment, into the encoded file.
    rgb.info = {}
    return DecodedImage(rgb, size, (*header.notes, *(("first of several images",) if frames > 1 else ()), *notes))


def _open(header: ImageHeader, stream: io.BytesIO) -> Image.Image:
    _silence_decoders()
    if header.format == "HEIF":
        _register_heif()
    if header.format in ("HEIF", "AVIF"):
        _check_embedded_exif(header)
    try:
        return Image.open(stream, formats=[header.format])
    except Image.DecompressionBombError:
        raise UnusableMedia(
            "it has more than 178 megapixels, the most that any image may have.", next_step="Give a smaller image."
        ) from None
    except UnidentifiedImageError:
        raise damaged(header.label, "its header cannot be read") from None
    except Exception as error:
        raise damaged(header.label, f"its header cannot be read ({type(error).__name__})") from error


def _silence_decoders() -> None:
    # Set again each time, since `catch_warnings` elsewhere removes it. Pillow warns of sizes that our limits allow.
    for module in (r"PIL\.", r"pillow_heif"):
        warnings.filterwarnings("ignore", module=module)


def _register_heif() -> None:
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        raise UnusableMedia(
            "it is HEIC, which needs an extra that is not installed.",
            next_step=f"{how_to_install('heic')} Or convert the image to JPEG.",
        ) from None


def _check_embedded_exif(header: ImageHeader) -> None:
    # These decoders pass Exif to Pillow, which reads every entry: entries that all point at one large block would fill
    # the memory. The block may be anywhere in the file.
    for match in _TIFF_START.finditer(header.data):
        block = header.data[match.start() : match.start() + MAX_PROFILE_BYTES]
        directory = read_first_directory(block)
        sizes = (entry.bytes for entry in directory.entries if entry.bytes <= len(block)) if directory else ()
        if sum(sizes) > MAX_PROFILE_BYTES:
            raise damaged(header.label, f"its Exif is larger than {MAX_PROFILE_BYTES // 1_000_000} MB")


def _too_many_pixels(size: tuple[int, int], reason: str, next_step: str = "Give a smaller image.") -> UnusableMedia:
    return UnusableMedia(f"it has {size[0]} x {size[1]} pixels; {reason}.", next_step=next_step)


def flatten(image: Image.Image, target: tuple[int, int]) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the image as L, CMYK or RGB without transparency, and notes on what that changed.

    It is also reduced by a whole factor, to at most about three times the edges of `target`.
    """
    factor = max(1, ceil(min(image.width / target[0], image.height / target[1]) / 3))
    value_range = _value_range(image)
    rows = max(1, _BAND_PIXELS // image.width // factor) * factor
    out: Image.Image | None = None
    transparent = image.has_transparency_data
    for top in range(0, image.height, rows):
        # In bands of rows: converting the whole image would double the memory.
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        band = _flatten_band(band, transparent, value_range)
        band = band.reduce(factor) if factor > 1 else band
        if out is None:
            out = Image.new(band.mode, (band.width, ceil(image.height / factor)))
        out.paste(band, (0, top // factor))
    assert out is not None
    return out, ("transparent parts made white",) if transparent else ()


def _value_range(image: Image.Image) -> tuple[float, float]:
    # The values that become black and white in images of one channel with more than 8 bits.
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
            # The profile does not fit the image; without it the colours are only a little off.
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")
