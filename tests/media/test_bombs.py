"""Decompression bombs and other crafted images: each ends in an error that names a limit, soon and in little memory."""

from __future__ import annotations

import base64
import json
import re
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image

from ollama_mcp.access import Access, OpenedFile, Purpose
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.media import prepare_images
from ollama_mcp.media.image_headers.jpeg import MAX_SCANS
from ollama_mcp.settings.access import ImageSettings
from tests.media.conftest import Put
from tests.media.image_samples import (
    CANARY,
    chunk,
    drawing,
    exif,
    photo,
    png,
    png_header,
    saved,
    tiff,
    zeros,
)

PAGE = Path(__file__).parents[2] / "docs" / "images.md"


async def refusal(data: bytes, access: Access) -> str:
    with pytest.raises(InvalidArgument) as caught:
        await prepare_images([base64.b64encode(data).decode()], access=access, settings=ImageSettings(), model="x")
    assert len(str(caught.value)) <= 400
    assert CANARY not in str(caught.value)
    return caught.value.message


def jpeg_with_size(width: int, height: int, progressive: bool = False) -> bytes:
    data = saved(drawing(), "JPEG", progressive=progressive)
    return data.replace(struct.pack(">HH", 200, 300), struct.pack(">HH", height, width))


def webp_with_size(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    inner = saved(drawing(), "WEBP")[12:]
    body = b"WEBPVP8X\x0a\0\0\0\0\0\0\0" + size + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


def iso_with_size(form: str, width: int, height: int) -> bytes:
    return saved(drawing(), form).replace(struct.pack(">II", 300, 200), struct.pack(">II", width, height))


def gif_with_size(width: int, height: int) -> bytes:
    data = saved(drawing(), "GIF")
    return data[:6] + struct.pack("<HH", width, height) + data[10:]


@pytest.mark.parametrize(
    ("data", "limit"),
    [
        (png(png_header(60_000, 60_000), chunk(b"IDAT", zeros(1 << 20)), chunk(b"IEND", b"")), "48 megapixels"),
        (png(png_header(7000, 7000), chunk(b"IDAT", zeros(1 << 20)), chunk(b"IEND", b"")), "48 megapixels"),
        (jpeg_with_size(20_000, 10_000), "178 megapixels"),
        (jpeg_with_size(10_000, 10_000, progressive=True), "48 megapixels"),
        (jpeg_with_size(6900, 6900, progressive=True), "memory for at most 31.5 megapixels"),
        (webp_with_size(3700, 3700), "memory for at most 13.5 megapixels"),
        (iso_with_size("AVIF", 4060, 4060), "memory for at most 16.4 megapixels"),
        (iso_with_size("HEIF", 4990, 4990), "memory for at most 24.7 megapixels"),
        (
            tiff((256, 4, 1, 4810), (257, 4, 1, 4810), (259, 3, 1, 5), (273, 4, 1, 8), (279, 4, 1, 0)),
            "memory for at most 23 megapixels",
        ),
        (webp_with_size(16_000, 16_000), "megapixels"),
        (gif_with_size(60_000, 60_000), "48 megapixels"),
        (tiff((256, 4, 1, 70_000), (257, 4, 1, 70_000), (259, 3, 1, 5)), "48 megapixels"),
        (b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 60_000, 60_000, 1, 24, 0) + bytes(24), "megapixels"),
        (b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 7000, 7000, 1, 24, 0) + bytes(24), "48 megapixels"),
    ],
)
async def test_more_pixels_than_allowed_name_the_limit(access: Access, data: bytes, limit: str) -> None:
    assert limit in await refusal(data, access)
    if limit.startswith("memory for at most"):
        assert re.search(rf"\b{limit.split()[-2]}\b", PAGE.read_text(encoding="utf-8"))


async def test_the_settings_that_limit_pixels_are_named(access: Access) -> None:
    assert "images.max_megapixels_jpeg" in await refusal(jpeg_with_size(20_000, 10_000), access)
    assert "images.max_megapixels)" in await refusal(gif_with_size(10_000, 10_000), access)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "AVIF", "HEIF", "ICO"])
async def test_truncated_files_are_errors(access: Access, form: str) -> None:
    data = saved(photo(), form)
    for part in (len(data) // 2, len(data) // 10):
        assert "damaged" in await refusal(data[:part], access)


def _ico(width: int, height: int, image: bytes) -> bytes:
    entry = struct.pack("<BBBBHHII", width % 256, height % 256, 0, 0, 1, 32, len(image), 22)
    return b"\0\0\1\0\1\0" + entry + image


async def test_an_icon_cannot_hide_a_large_image(access: Access) -> None:
    inner = png(png_header(20_000, 20_000), chunk(b"IDAT", zeros(1 << 20)), chunk(b"IEND", b""))
    assert "megapixels" in await refusal(_ico(16, 16, inner), access)
    bitmap = struct.pack("<IiiHHI", 40, 20_000, 40_000, 1, 32, 0) + bytes(24)
    assert "megapixels" in await refusal(_ico(16, 16, bitmap), access)
    assert "damaged" in await refusal(_ico(16, 16, b""), access)
    assert "damaged" in await refusal(b"\0\0\1\0\xff\xff", access)


async def test_ten_thousand_frames_cost_no_more_than_one(access: Access) -> None:
    still = saved(drawing(), "GIF")
    frame = still[still.index(b"\x2c\0\0\0\0") : -1]
    many = still[:-1] + frame * 9999 + b";"
    (image,) = await prepare_images(
        [base64.b64encode(many).decode()], access=access, settings=ImageSettings(), model="x"
    )
    assert "first frame of an animation" in image.receipt


async def test_directories_that_point_in_a_circle_or_nowhere_end(access: Access) -> None:
    honest = saved(drawing(), "TIFF")
    start = struct.unpack_from("<I", honest, 4)[0]
    count = struct.unpack_from("<H", honest, start)[0]
    at = start + 2 + 12 * count
    circle = honest[:at] + struct.pack("<I", start) + honest[at + 4 :]
    (image,) = await prepare_images(
        [base64.b64encode(circle).decode()], access=access, settings=ImageSettings(), model="x"
    )
    assert image.size == (300, 200)
    for offset in (0, 4, 2**32 - 1, len(honest) - 1):
        assert "damaged TIFF" in await refusal(honest[:4] + struct.pack("<I", offset) + honest[8:], access)


@pytest.mark.parametrize(
    "data",
    [
        tiff(*[(tag, 7, 40_000_000, 8) for tag in range(256, 300)], tail=bytes(1000)),
        tiff((256, 4, 1, 100), (257, 4, 1, 100), (273, 4, 50_000_000, 8), tail=bytes(1000)),
        tiff((256, 4, 1, 5000), (257, 4, 1, 5000), (259, 3, 1, 5), (322, 4, 1, 65_535), (323, 4, 1, 65_535)),
        b"II*\0\x08\0\0\0\xff\xff" + bytes(70_000 * 12),
        b"MM\0+\0\x08\0\0" + bytes(7) + b"\x10" + b"\xff" * 8 + bytes(100),
    ],
    ids=["overlapping values", "long list", "large tiles", "many entries", "BigTIFF with too many entries"],
)
async def test_crafted_tiff_directories_are_errors(access: Access, data: bytes) -> None:
    assert "damaged TIFF" in await refusal(data, access)


def _exif_bomb(entries: int, each: int) -> bytes:
    return tiff(*[(0x8000 + n, 7, each, 8) for n in range(entries)], tail=bytes(each))


async def test_exif_whose_entries_overlap_is_never_expanded(access: Access) -> None:
    for form, each in (("JPEG", 1000), ("PNG", 2_000_000), ("WEBP", 2_000_000)):
        data = saved(drawing(), form, exif=b"Exif\0\0" + _exif_bomb(4000 if form != "JPEG" else 5000, each))
        (image,) = await prepare_images(
            [base64.b64encode(data).decode()], access=access, settings=ImageSettings(), model="x"
        )
        assert image.size == (300, 200)


@pytest.mark.parametrize("form", ["AVIF", "HEIF"])
async def test_exif_that_a_decoder_would_expand_itself_is_an_error(access: Access, form: str) -> None:
    bomb = _exif_bomb(4000, 1_000_000)
    data = saved(drawing(), form, exif=exif()) + bomb
    assert "Exif" in await refusal(data, access)


async def test_a_packed_text_of_a_gigabyte_is_not_unpacked(access: Access) -> None:
    text = chunk(b"zTXt", b"Comment\0\0" + zeros(1 << 30))
    header = png_header(40, 40)
    pixels = chunk(b"IDAT", zeros(1 << 20))
    (image,) = await prepare_images(
        [base64.b64encode(png(header, text, pixels, chunk(b"IEND", b""))).decode()],
        access=access,
        settings=ImageSettings(),
        model="x",
    )
    assert image.size == (40, 40)


async def test_floods_of_small_parts_are_errors(access: Access) -> None:
    flood = png(png_header(20, 20), chunk(b"tEXt", b"") * 100_000)
    assert "chunks" in await refusal(flood, access)
    segments = b"\xff\xd8" + b"\xff\xfe\0\2" * 5000
    assert "segments" in await refusal(segments, access)
    progressive = saved(photo(), "JPEG", progressive=True)
    start = progressive.index(b"\xff\xda")
    scan = progressive[start : progressive.index(b"\xff", start + 14)]
    assert "scans" in await refusal(progressive[:-2] + scan * (MAX_SCANS + 1) + b"\xff\xd9", access)
    gif = b"GIF89a\1\0\1\0\0\0\0" + b"\x21\xfe" + b"\1a" * 500_000
    assert "blocks" in await refusal(gif, access)


class Changing(Access):
    """Access to a file that is replaced by a larger image after it was opened once."""

    def open_file(self, text: str, purpose: Purpose) -> OpenedFile:
        opened = super().open_file(text, purpose)
        Path(text).unlink()
        Path(text).write_bytes(saved(Image.new("RGB", (900, 900)), "PNG"))
        return opened


async def test_an_image_that_grows_between_measuring_and_decoding_is_an_error(access: Access, put: Put) -> None:
    path = put("a.png", saved(drawing(), "PNG"))
    changing = Changing(access.read_rules, access.urls)
    with pytest.raises(InvalidArgument, match="changed while it was read"):
        await prepare_images([path], access=changing, settings=ImageSettings(), model="x")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xfe\0\1\xff\xd9",
        b"\xff\xd8\xff\xc0\0\x0b\x08\0\0\0\x10\1\1\x11\0\xff\xda\0\3\1\0\xff\xd9",
        saved(drawing(), "JPEG").replace(b"\xff\xda", b"\xff\xc0\0\x11\x08" + bytes(14) + b"\xff\xda", 1),
        b"GIF89a\1\0\1\0\0\0\0;",
        b"GIF89a\1\0",
        png(chunk(b"IEND", b"")),
        png(png_header(0, 5), chunk(b"IEND", b"")),
        png(png_header(5, 5), chunk(b"IEND", b"")),
        tiff((256, 4, 1, 5), (257, 4, 1, 5)),
        tiff((256, 4, 1, 0), (257, 4, 1, 0)),
    ],
)
async def test_lies_and_gaps_in_the_structure_are_errors(access: Access, data: bytes) -> None:
    assert "damaged" in await refusal(data, access)


async def test_decoders_do_not_warn(access: Access, recwarn: pytest.WarningsRecorder) -> None:
    warnings.simplefilter("always")
    large = saved(Image.new("L", (10_000, 9_500)), "JPEG")
    odd = saved(drawing(), "PNG", save_all=True, append_images=[photo()]).replace(b"acTL", b"acTX")
    for data in (large, odd):
        await prepare_images([base64.b64encode(data).decode()], access=access, settings=ImageSettings(), model="x")
    assert [str(warning.message) for warning in recwarn] == []


def _peaks(folder: Path, cases: dict[str, bytes]) -> dict[str, float]:
    cases["warm.gif"] = saved(drawing(), "GIF")
    for name, data in cases.items():
        (folder / name).write_bytes(data)
    script = Path(__file__).with_name("measure_memory.py")
    result = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, check=True, timeout=150
    )
    peaks: dict[str, float] = json.loads(result.stdout)
    assert peaks.keys() == cases.keys()
    return peaks


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.slow
def test_no_image_takes_300_megabytes_or_writes_to_stdout(tmp_path: Path) -> None:
    cases = {
        "rgba.png": png(
            png_header(6900, 6900, 8, 6),
            chunk(b"tEXt", bytes(49_000_000)),
            chunk(b"IDAT", zeros(182 << 20)),
            chunk(b"IEND", b""),
        ),
        "text.png": png(png_header(9, 9), chunk(b"zTXt", b"a\0\0" + zeros(1 << 30)), chunk(b"IEND", b"")),
        "plain.webp": saved(Image.new("RGBA", (3600, 3600), (1, 2, 3, 4)), "WEBP", lossless=True, method=0, quality=0),
    }
    peaks = _peaks(tmp_path, cases)
    assert max(peaks.values()) < 300, peaks
    # Else the image was not even decoded.
    assert peaks["rgba.png"] > 150


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_no_image_of_the_slower_formats_takes_300_megabytes(tmp_path: Path) -> None:
    cases = {
        "more.png": png(
            png_header(6900, 6900, 8, 6),
            chunk(b"tEXt", b""),
            chunk(b"IDAT", zeros(182 << 20) + bytes(49_000_000)),
            chunk(b"IEND", b""),
        ),
        "strip.tif": saved(Image.new("RGB", (4700, 4700)), "TIFF", compression="tiff_lzw", tiffinfo={278: 4700}),
        "large.jpg": saved(Image.new("RGB", (13_000, 13_000)), "JPEG"),
        "cmyk.jpg": saved(Image.new("CMYK", (6900, 6900)), "JPEG"),
        "grey16.png": saved(Image.new("I;16", (6900, 6900)), "PNG", compress_level=1),
        "progressive.jpg": saved(Image.new("RGB", (4600, 4600)), "JPEG", progressive=True, subsampling=0),
        "plain.avif": saved(Image.new("RGBA", (4000, 4000), (1, 2, 3, 4)), "AVIF", speed=10),
        "plain.heic": saved(Image.new("RGBA", (4900, 4900), (1, 2, 3, 4)), "HEIF"),
        "flat.gif": saved(Image.new("P", (6900, 6900)), "GIF"),
    }
    peaks = _peaks(tmp_path, cases)
    assert max(peaks.values()) < 300, peaks
