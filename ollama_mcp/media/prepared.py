"""What comes out: one image, ready for the API, and what is to be said of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """One image as it goes into the `images` field of Ollama's API.

    Args:
        base64: Standard base64 with padding, as the contract of the API wants it.
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
        was, now = (f"{width}x{height}" for width, height in (self.original_size, self.size))
        sent = f"{self.original_format} {was}"
        if (was, self.original_format) != (now, self.format):
            sent += f", sent as {self.format} {now}"
        return "; ".join([f"{self.source}: {sent}, {max(1, self.bytes // 1000)} kB", *self.notes])
