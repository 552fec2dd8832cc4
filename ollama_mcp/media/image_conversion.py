"""One image, from its source to what is sent: measured, decoded, encoded. Imports Pillow: import it late."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image

from ollama_mcp.access import Access
from ollama_mcp.media.file_types import UnusableMedia, image_format, unreadable_image
from ollama_mcp.media.image_decoding import HEAVY_PIXELS, MAX_DECODE_BYTES, check_limits, decode_image, image_size
from ollama_mcp.media.image_headers import ImageHeader
from ollama_mcp.media.image_headers.gif import parse_gif
from ollama_mcp.media.image_headers.jpeg import parse_jpeg
from ollama_mcp.media.image_headers.png import parse_ico, parse_png
from ollama_mcp.media.image_headers.tiff import parse_tiff
from ollama_mcp.media.image_headers.whole_files import parse_avif, parse_bmp, parse_heif, parse_webp
from ollama_mcp.media.sources import Source
from ollama_mcp.settings.access import ImageSettings

# Accepted in data: URIs.
MEDIA_TYPES = ("image/",)
# Ollama's vision code fails on images with an edge under 28 pixels, some models' under 32.
MIN_EDGE = 32
# Line art and screenshots stay sharp as PNG; photographs, and images blurred by scaling, have more colours.
MAX_PNG_COLOURS = 4096
MAX_PNG_BYTES = 2_000_000
LOSSLESS_FORMATS = frozenset({"PNG", "GIF", "BMP", "ICO", "TIFF"})

_PARSERS = {
    "AVIF": parse_avif,
    "BMP": parse_bmp,
    "GIF": parse_gif,
    "HEIF": parse_heif,
    "ICO": parse_ico,
    "JPEG": parse_jpeg,
    "PNG": parse_png,
    "TIFF": parse_tiff,
    "WEBP": parse_webp,
}


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """One image as it goes into the `images` field of Ollama's API.

    Args:
        base64: Standard base64 with padding, as the contract of the API requires.
        source: Where it came from, shortened; never its content.
        original_format: Format it came in, such as "HEIC".
        format: Format it is sent in: "PNG" or "JPEG".
        original_size: Width and height it came with, upright, in pixels.
        size: Width and height it is sent with, in pixels.
        bytes: Size of what is sent, before base64.
        notes: What was left out or changed and matters.
    """

    base64: str
    source: str
    original_format: str
    format: str
    original_size: tuple[int, int]
    size: tuple[int, int]
    bytes: int
    notes: tuple[str, ...] = ()

    @property
    def receipt(self) -> str:
        """One line for the user: what was read and what was sent."""
        original, sent = (f"{width}x{height}" for width, height in (self.original_size, self.size))
        line = f"{self.source}: {self.original_format} {original}"
        if (original, self.original_format) != (sent, self.format):
            line += f", sent as {self.format} {sent}"
        return "; ".join([f"{line}, {max(1, self.bytes // 1000)} kB", *self.notes])


@dataclass(frozen=True, slots=True)
class DecodeCost:
    """What decoding an image takes: bytes of memory, and whether that is too much to do two at a time."""

    memory: int
    heavy: bool


def measure_image(source: Source, access: Access, settings: ImageSettings, edge: int) -> DecodeCost:
    """Return what decoding will take, by the image's header.

    Raises:
        OllamaMCPError: The source cannot be read, or it is not an image within the limits.
    """
    header = parse_header(source.read(access, settings.max_bytes, MEDIA_TYPES))
    size = image_size(header)
    memory = check_limits(header, size, edge, settings)
    return DecodeCost(memory, memory > MAX_DECODE_BYTES // 2 or size[0] * size[1] > HEAVY_PIXELS)


def convert_image(
    source: Source, access: Access, settings: ImageSettings, edge: int, cost: DecodeCost
) -> PreparedImage:
    """Return the image as it is sent, decoded within the cost that was measured.

    Raises:
        OllamaMCPError: As `measure_image`, or the pixels are damaged.
    """
    # Read again rather than kept: images that wait for their turn hold no memory.
    data = source.read(access, settings.max_bytes, MEDIA_TYPES)
    header = parse_header(data)
    size = image_size(header)
    if check_limits(header, size, edge, settings) > cost.memory:
        raise UnusableMedia("it changed while it was read.", next_step="Try again.")
    unchanged = data if header.passthrough and max(size) <= edge and min(size) >= MIN_EDGE else b""
    del data
    # Decoded even if it is sent unchanged: a damaged image must be an error here, not in the model.
    decoded = decode_image(header, edge, settings)
    image, notes = pad_image(decoded.image)
    sent_format, sent = header.format, unchanged
    if not unchanged:
        sent_format, sent = encode_image(image, header.label, settings.jpeg_quality)
    return PreparedImage(
        base64=base64.b64encode(sent).decode("ascii"),
        source=source.display_name,
        original_format=header.label,
        format=sent_format,
        original_size=decoded.size,
        size=image.size,
        bytes=len(sent),
        notes=(*decoded.notes, *notes),
    )


def parse_header(data: bytes) -> ImageHeader:
    """Return the header of an image, by the parser of its format.

    Raises:
        UnusableMedia: It is not a readable image, or it is damaged.
    """
    name = image_format(data)
    if name is None:
        raise unreadable_image(data)
    return _PARSERS[name](data)


def pad_image(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """Return an RGB image with no edge under 32 pixels, the rest of which is white around it, and notes on that."""
    width, height = image.size
    padded = max(width, MIN_EDGE), max(height, MIN_EDGE)
    if padded == image.size:
        return image, ()
    frame = Image.new("RGB", padded, "white")
    frame.paste(image, ((padded[0] - width) // 2, (padded[1] - height) // 2))
    return frame, (f"its {width}x{height} pixels are padded with white, since models fail on edges under {MIN_EDGE}",)


def encode_image(image: Image.Image, label: str, quality: int) -> tuple[str, bytes]:
    """Return format ("PNG" or "JPEG") and bytes of an RGB image, without any metadata.

    Args:
        image: The pixels.
        label: Format the image came in; lossless images with few colours stay lossless.
        quality: Quality of a JPEG, 1 to 100.
    """
    if label in LOSSLESS_FORMATS and image.getcolors(MAX_PNG_COLOURS) is not None:
        png = _save(image, "PNG", compress_level=6)
        if len(png) <= MAX_PNG_BYTES:
            return "PNG", png
    return "JPEG", _save(image, "JPEG", quality=quality)


def _save(image: Image.Image, image_format: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()
