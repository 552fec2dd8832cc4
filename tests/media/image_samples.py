"""Generated images for tests, valid and crafted."""

from __future__ import annotations

import importlib
import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageCms, ImageDraw

CANARY = "CANARY-7f3a91"

importlib.import_module("pillow_heif").register_heif_opener()


def drawing(width: int = 300, height: int = 200) -> Image.Image:
    """Few colours: green with a red mark in the top left corner."""
    image = Image.new("RGB", (width, height), (10, 200, 30))
    ImageDraw.Draw(image).rectangle((0, 0, width // 4, height // 4), fill=(230, 10, 20))
    return image


def photo(width: int = 300, height: int = 200) -> Image.Image:
    """Many colours: a gradient with noise."""
    noise = Image.effect_noise((width, height), 40)
    ramp = Image.linear_gradient("L").transform((width, height), Image.Transform.EXTENT, (0, 0, 256, 256))
    return Image.merge("RGB", (noise, ramp, ramp.transpose(Image.Transpose.ROTATE_180)))


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=["PNG", "JPEG"])
    image.load()
    return image


def exif(orientation: int = 1) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010F] = CANARY
    return block.tobytes()


def swapped_profile() -> bytes:
    """An RGB profile that is not sRGB, so that converting from it changes the colours."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - Pillow leaves it untyped
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = profile[blue : blue + 4], profile[red : red + 4]
    return bytes(profile)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def zeros(size: int) -> bytes:
    """A zlib stream (RFC 1950) of zeros, a whole number of MiB, without ever holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush each piece stands for itself; a stored block without content ends the stream.
    checksum = (size % 65_521) << 16 | 1
    return b"\x78\xda" + piece * (size >> 20) + b"\1\0\0\xff\xff" + checksum.to_bytes(4, "big")


def tiff(*entries: tuple[int, int, int, int], tail: bytes = b"", following: int = 0) -> bytes:
    """A little-endian TIFF with these (tag, type, count, value) entries; `tail` starts after the directory."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", following) + tail
