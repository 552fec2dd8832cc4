"""The work on one image that is done in a thread. Imports Pillow: load it late."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from ollama_mcp.access import Access
from ollama_mcp.media.anatomy import UnusableMedia
from ollama_mcp.media.decode import HEAVY_PIXELS, MEMORY, check_limits, decode, header_size
from ollama_mcp.media.encode import encode
from ollama_mcp.media.prepared import PreparedImage
from ollama_mcp.media.sniff import anatomy_of
from ollama_mcp.media.sources import Source
from ollama_mcp.settings.access import ImageSettings

KINDS = ("image/",)


@dataclass(frozen=True, slots=True)
class Weight:
    """What decoding an image takes: bytes of memory, and whether that is too much to do two at a time."""

    memory: int
    heavy: bool


def measure(source: Source, access: Access, settings: ImageSettings, edge: int) -> Weight:
    """Return what decoding will take, by the image's header.

    Raises:
        OllamaMCPError: The source cannot be read, or is no image within the limits.
    """
    anatomy = anatomy_of(source.read(access, settings.max_bytes, KINDS))
    size = header_size(anatomy)
    memory = check_limits(anatomy, size, edge, settings)
    return Weight(memory, memory > MEMORY // 2 or size[0] * size[1] > HEAVY_PIXELS)


def convert(source: Source, access: Access, settings: ImageSettings, edge: int, weight: Weight) -> PreparedImage:
    """Return the image as it is sent, decoded within the weight that was measured.

    Raises:
        OllamaMCPError: As `measure`, or the pixels are damaged.
    """
    # Read again rather than kept: images that wait for their turn hold no memory.
    data = source.read(access, settings.max_bytes, KINDS)
    anatomy = anatomy_of(data)
    size = header_size(anatomy)
    if check_limits(anatomy, size, edge, settings) > weight.memory:
        raise UnusableMedia("it changed while it was read.", next_step="Try again.")
    kept = data if anatomy.untouched and max(size) <= edge else b""
    del data
    # Decoded even if it is sent as it came: a damaged image must be an error here, not in the model.
    pixels = decode(anatomy, edge, settings)
    form, sent = (anatomy.format, kept) if kept else encode(pixels.image, anatomy.label, settings.jpeg_quality)
    return PreparedImage(
        base64=base64.b64encode(sent).decode("ascii"),
        source=source.shown,
        original_format=anatomy.label,
        format=form,
        original_size=pixels.size,
        size=pixels.image.size,
        bytes=len(sent),
        notes=pixels.notes,
    )
