"""What a file is, by its first bytes: names and declared types are not believed."""

from __future__ import annotations

import re
from collections.abc import Callable

from ollama_mcp.media.anatomy import Anatomy, UnusableMedia
from ollama_mcp.media.gif import gif_anatomy
from ollama_mcp.media.ico import ico_anatomy
from ollama_mcp.media.jpeg import jpeg_anatomy
from ollama_mcp.media.png import SIGNATURE, png_anatomy
from ollama_mcp.media.tiff import tiff_anatomy
from ollama_mcp.media.webp import webp_anatomy

READABLE = "PNG, JPEG, WebP, GIF, TIFF, BMP, ICO, AVIF and HEIC"
_HEAD = 1024
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_CONVERT = "Convert it to PNG or JPEG and give that."
_REFUSED: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF", "it is a PDF", "Convert its pages to images (`pdftoppm -png -r 150 FILE page`) and give those."),
    (b"\x1f\x8b", "it is packed with gzip", "Unpack it first."),
    (b"PK\3\4", "it is a ZIP archive or an Office document", "Give the image itself."),
    (b"8BPS", "it is a Photoshop file", _CONVERT),
    (b"%!PS", "it is PostScript, which is a program", _CONVERT),
    (b"\xff\x0a", "it is JPEG XL, which is not read", _CONVERT),
    (b"\0\0\0\x0cJXL ", "it is JPEG XL, which is not read", _CONVERT),
    (b"\0\0\0\x0cjP  ", "it is JPEG 2000, which is not read", _CONVERT),
    (b"ID3", "it is a sound, not an image", "Give an image."),
)
_MARKUP = re.compile(rb"^(?:\xef\xbb\xbf)?\s*<(?:\?xml|!doctype|!--|svg|html)", re.IGNORECASE)


def has_image_start(data: bytes) -> bool:
    """Tell whether bytes start as an image that can be read."""
    return _reader(data) is not None or iso_format(data) is not None or data.startswith(b"BM")


def anatomy_of(data: bytes) -> Anatomy:
    """Return the structure of an image.

    Raises:
        UnusableMedia: It is none that can be read, or it is damaged.
    """
    reader = _reader(data)
    if reader is not None:
        return reader(data)
    if data.startswith(b"BM"):
        return Anatomy("BMP", "BMP", data, None, 4.0)
    iso = iso_format(data)
    if iso == "AVIF":
        return Anatomy("AVIF", "AVIF", data, None, 14.0, orientation=0)
    if iso == "HEIF":
        # Its decoder turns the image itself.
        return Anatomy("HEIF", "HEIC", data, None, 9.3)
    raise refusal(data)


def iso_format(data: bytes) -> str | None:
    """Return "AVIF" or "HEIF" for files of these brands (ISO/IEC 14496-12, a `ftyp` box first), else None."""
    if data[4:8] != b"ftyp":
        return None
    length = min(int.from_bytes(data[:4], "big"), _HEAD)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, length - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def refusal(data: bytes) -> UnusableMedia:
    """Return the error for bytes that are no readable image; it names their kind and never quotes them."""
    if not data:
        return UnusableMedia("it is empty.", next_step="Give a file with an image in it.")
    for start, what, step in _REFUSED:
        if data.startswith(start):
            return UnusableMedia(f"{what}.", next_step=step)
    head = data[:_HEAD]
    if _MARKUP.match(head):
        if b"<svg" in head.lower():
            return UnusableMedia("it is SVG, which is a drawing program, not pixels.", next_step=_CONVERT)
        return UnusableMedia("it is a web page or XML, not an image.", next_step="Give the address of the image.")
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return UnusableMedia("it is a sound, not an image.", next_step="Give an image.")
    if data[4:8] == b"ftyp":
        return UnusableMedia("it is a film or a format that is not read.", next_step="Give an image taken from it.")
    return UnusableMedia(f"it is not an image that can be read ({READABLE} are).", next_step="Check what the file is.")


def _reader(data: bytes) -> Callable[[bytes], Anatomy] | None:
    if data.startswith(b"\xff\xd8\xff"):
        return jpeg_anatomy
    if data.startswith(SIGNATURE):
        return png_anatomy
    if data.startswith((b"GIF87a", b"GIF89a")):
        return gif_anatomy
    if data.startswith(_TIFF_STARTS):
        return tiff_anatomy
    if data.startswith(b"\0\0\1\0"):
        return ico_anatomy
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return webp_anatomy
    return None
