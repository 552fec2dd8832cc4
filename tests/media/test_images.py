"""What images become: formats, colours, size, orientation, metadata, receipts."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from ollama_mcp.access import Access
from ollama_mcp.media import PreparedImage, prepare_images
from ollama_mcp.settings.access import ImageSettings
from tests.media.conftest import Put
from tests.media.image_samples import (
    CANARY,
    chunk,
    drawing,
    exif,
    opened,
    photo,
    png,
    png_header,
    saved,
    swapped_profile,
    zeros,
)

DEFAULTS = ImageSettings()


async def prepared(source: str | bytes, access: Access, settings: ImageSettings = DEFAULTS) -> PreparedImage:
    text = source if isinstance(source, str) else base64.b64encode(source).decode()
    (image,) = await prepare_images([text], access=access, settings=settings, model="gemma3:4b")
    return image


def sent(image: PreparedImage) -> bytes:
    data = base64.b64decode(image.base64, validate=True)
    assert len(data) == image.bytes
    return data


def close(colour: object, to: tuple[int, int, int], by: int = 12) -> bool:
    assert isinstance(colour, tuple)
    return all(abs(one - other) <= by for one, other in zip(cast("tuple[int, ...]", colour), to, strict=True))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF"])
async def test_each_format_becomes_plain_rgb_of_the_same_pixels(access: Access, form: str) -> None:
    image = await prepared(saved(drawing(), form), access)
    pixels = opened(sent(image))
    assert (pixels.mode, pixels.size, image.size) == ("RGB", (300, 200), (300, 200))
    assert close(pixels.getpixel((20, 20)), (230, 10, 20))
    assert close(pixels.getpixel((200, 150)), (10, 200, 30))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF"])
async def test_a_large_image_is_reduced_to_the_longest_edge(access: Access, form: str) -> None:
    image = await prepared(saved(drawing(600, 2500), form), access)
    assert image.original_size == (600, 2500)
    assert image.size == opened(sent(image)).size == (376, 1568)
    assert close(opened(sent(image)).getpixel((20, 20)), (230, 10, 20))


@pytest.mark.parametrize("bitmap", ["png", "bmp"])
async def test_of_an_icon_the_largest_image_is_taken(access: Access, bitmap: str) -> None:
    data = saved(drawing(256, 256), "ICO", sizes=[(16, 16), (256, 256), (32, 32)], bitmap_format=bitmap)
    image = await prepared(data, access)
    assert image.size == (256, 256)
    assert "largest of 3 icons" in image.receipt
    assert close(opened(sent(image)).getpixel((20, 20)), (230, 10, 20))


@pytest.mark.parametrize(
    ("size", "inner", "expected"),
    [
        ((20_000, 1), (1568, 1), (1568, 32)),
        ((5_000, 10), (1568, 3), (1568, 32)),
        ((31, 200), (31, 200), (32, 200)),
        ((1, 1), (1, 1), (32, 32)),
    ],
)
@pytest.mark.parametrize("form", ["BMP", "PNG"])
async def test_an_edge_that_models_fail_on_is_padded_with_white(
    access: Access, form: str, size: tuple[int, int], inner: tuple[int, int], expected: tuple[int, int]
) -> None:
    image = await prepared(saved(Image.new("RGB", size, (230, 10, 20)), form), access)
    pixels = opened(sent(image))
    assert image.size == pixels.size == expected
    assert (image.original_size, f"its {inner[0]}x{inner[1]} pixels are padded with white" in image.receipt) == (
        size,
        True,
    )
    middle = expected[0] // 2, expected[1] // 2
    assert close(pixels.getpixel((middle[0] - (inner[0] == 1), middle[1] - (inner[1] == 1))), (230, 10, 20), by=60)
    colours = [colour for _, colour in pixels.getcolors(1 << 20) or ()]
    assert any(close(colour, (255, 255, 255)) for colour in colours)


@pytest.mark.parametrize("size", [(1568, 1568), (32, 32), (1568, 32)])
async def test_nothing_is_enlarged_or_padded_that_is_large_enough(access: Access, size: tuple[int, int]) -> None:
    image = await prepared(saved(drawing(*size), "BMP"), access)
    assert image.size == opened(sent(image)).size == size
    assert "white" not in image.receipt


async def test_the_longest_edge_can_be_set_for_models_by_pattern(access: Access) -> None:
    settings = ImageSettings(max_edge=100, max_edge_by_model={"gemma*": 50, "Gemma3:*": 64, "llava*": 20})
    assert (await prepared(saved(drawing(), "PNG"), access, settings)).size == (64, 43)
    other = await prepare_images(
        [base64.b64encode(saved(drawing(), "PNG")).decode()], access=access, settings=settings, model="qwen3-vl"
    )
    assert other[0].size == (100, 67)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
async def test_plain_small_bytes_pass_untouched(access: Access, form: str) -> None:
    data = saved(photo(), form)
    image = await prepared(data, access)
    assert sent(image) == data
    assert (
        image.receipt
        == f"base64 text ({len(base64.b64encode(data)) * 3 // 4000} kB): {form} 300x200, {len(data) // 1000} kB"
    )


@pytest.mark.parametrize("extra", ["exif", "comment", "icc", "trailer", "thumbnail"])
async def test_a_jpeg_with_anything_beside_pixels_is_stripped(access: Access, extra: str) -> None:
    options: dict[str, Any] = {
        "exif": {"exif": exif()},
        "comment": {"comment": CANARY.encode()},
        "icc": {"icc_profile": swapped_profile()},
    }.get(extra, {})
    data = saved(photo(), "JPEG", **options)
    if extra == "trailer":
        data += f"<html>{CANARY}</html>\xff\xd9".encode("latin-1")
    if extra == "thumbnail":
        jfif = b"\xff\xe0" + (16 + 3).to_bytes(2, "big") + b"JFIF\0\1\2\0\0\1\0\1\1\1" + b"abc"
        data = data[:2] + jfif + data[2 + 18 :]
    image = await prepared(data, access)
    result = sent(image)
    assert result != data
    assert CANARY.encode() not in result
    assert not {"exif", "comment", "icc_profile"} & opened(result).info.keys()


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME", b"prVt"])
async def test_a_png_with_anything_beside_pixels_is_stripped(access: Access, name: bytes) -> None:
    plain = saved(drawing(), "PNG")
    result = sent(await prepared(plain[:33] + chunk(name, f"x\0{CANARY}".encode()) + plain[33:], access))
    assert name not in result
    assert CANARY.encode() not in result
    assert opened(result).tobytes() == drawing().tobytes()


async def test_a_file_that_is_also_a_web_page_loses_the_page(access: Access) -> None:
    data = saved(drawing(), "PNG") + b"<html><script>alert(1)</script></html>"
    assert b"script" not in sent(await prepared(data, access))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
async def test_exif_orientation_is_applied_and_gone(access: Access, form: str, orientation: int) -> None:
    image = await prepared(saved(drawing(), form, exif=exif(orientation)), access)
    pixels = opened(sent(image))
    width, height = (200, 300) if orientation >= 5 else (300, 200)
    assert image.original_size == image.size == pixels.size == (width, height)
    right, bottom = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    corner = (width - 20 if right else 20, height - 20 if bottom else 20)
    assert close(pixels.getpixel(corner), (230, 10, 20))
    assert close(pixels.getpixel((width - corner[0], height - corner[1])), (10, 200, 30))
    assert CANARY.encode() not in sent(image)


async def test_a_colour_profile_is_applied(access: Access) -> None:
    for form in ("PNG", "JPEG", "TIFF", "WEBP"):
        image = await prepared(saved(drawing(), form, icc_profile=swapped_profile()), access)
        assert not close(opened(sent(image)).getpixel((20, 20)), (230, 10, 20), by=40)


async def test_a_colour_profile_that_is_broken_or_of_another_kind_is_left_out(access: Access) -> None:
    for profile in (b"garbage" * 40, swapped_profile()[:300]):
        image = await prepared(saved(drawing(), "PNG", icc_profile=profile), access)
        assert close(opened(sent(image)).getpixel((20, 20)), (230, 10, 20))
    grey = await prepared(saved(drawing().convert("L"), "TIFF", icc_profile=swapped_profile()), access)
    assert opened(sent(grey)).mode == "RGB"


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF", "ICO"])
async def test_transparent_parts_become_white(access: Access, form: str) -> None:
    image = await prepared(saved(Image.new("RGBA", (64, 64), (255, 0, 0, 128)), form), access)
    assert close(opened(sent(image)).getpixel((5, 5)), (255, 127, 127), by=6)
    assert "transparent parts made white" in image.receipt


async def test_a_transparent_palette_and_a_transparent_colour_become_white(access: Access) -> None:
    palette = drawing().convert("P", palette=Image.Palette.ADAPTIVE)
    index = palette.getpixel((20, 20))
    for form in ("PNG", "GIF"):
        image = await prepared(saved(palette, form, transparency=index), access)
        assert close(opened(sent(image)).getpixel((20, 20)), (255, 255, 255))
    keyed = await prepared(saved(drawing(), "PNG", transparency=(230, 10, 20)), access)
    assert close(opened(sent(keyed)).getpixel((20, 20)), (255, 255, 255))


@pytest.mark.parametrize(
    ("mode", "form", "value", "expected"),
    [
        ("I;16", "PNG", 32_768, 127),
        ("I;16", "TIFF", 32_768, 127),
        ("L", "BMP", 77, 77),
        ("LA", "PNG", (77, 255), 77),
        ("1", "PNG", 1, 255),
        ("1", "TIFF", 1, 255),
        ("P", "GIF", 0, 0),
    ],
)
async def test_other_kinds_of_pixels_become_rgb(
    access: Access, mode: str, form: str, value: Any, expected: int
) -> None:
    pixels = opened(sent(await prepared(saved(Image.new(mode, (40, 30), value), form), access)))
    assert pixels.mode == "RGB"
    assert close(pixels.getpixel((3, 3)), (expected, expected, expected), by=1)


@pytest.mark.parametrize("mode", ["I", "F"])
async def test_measured_values_are_stretched_from_black_to_white(access: Access, mode: str) -> None:
    image = Image.new(mode, (40, 30), 1000)
    image.paste(3000, (20, 0, 40, 30))
    pixels = opened(sent(await prepared(saved(image, "TIFF"), access)))
    assert (pixels.getpixel((3, 3)), pixels.getpixel((30, 3))) == ((0, 0, 0), (255, 255, 255))
    assert opened(sent(await prepared(saved(Image.new(mode, (4, 3), 5), "TIFF"), access))).mode == "RGB"


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
async def test_cmyk_becomes_rgb(access: Access, form: str) -> None:
    pixels = opened(sent(await prepared(saved(drawing().convert("CMYK"), form), access)))
    assert close(pixels.getpixel((200, 150)), (10, 200, 30), by=20)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "raw"])
async def test_tiff_is_read_in_its_usual_compressions_and_byte_orders(access: Access, compression: str) -> None:
    for big in (False, True):
        image = await prepared(saved(drawing(), "TIFF", compression=compression, big_tiff=big), access)
        assert close(opened(sent(image)).getpixel((20, 20)), (230, 10, 20))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
async def test_of_an_animation_the_first_frame_is_sent_and_said(access: Access, form: str) -> None:
    data = saved(drawing(), form, save_all=True, append_images=[photo(), photo()], duration=50)
    image = await prepared(data, access)
    assert close(opened(sent(image)).getpixel((20, 20)), (230, 10, 20))
    assert "first" in image.receipt


async def test_of_a_tiff_the_first_page_is_sent_and_said(access: Access) -> None:
    image = await prepared(saved(drawing(), "TIFF", save_all=True, append_images=[photo(), photo()]), access)
    assert "first page of several" in image.receipt


async def test_a_still_gif_with_a_comment_is_no_animation(access: Access) -> None:
    image = await prepared(saved(drawing(), "GIF", comment=CANARY.encode()), access)
    assert image.notes == ()


async def test_line_art_stays_png_and_a_photograph_becomes_jpeg(access: Access) -> None:
    assert (await prepared(saved(drawing(), "BMP"), access)).format == "PNG"
    assert (await prepared(saved(photo(), "BMP"), access)).format == "JPEG"
    assert (await prepared(saved(drawing(), "WEBP"), access)).format == "JPEG"


async def test_the_quality_of_jpeg_is_a_setting(access: Access) -> None:
    small, large = [
        (await prepared(saved(photo(), "BMP"), access, ImageSettings(jpeg_quality=quality))).bytes
        for quality in (20, 95)
    ]
    assert small < large / 2


async def test_progressive_jpeg_is_read(access: Access) -> None:
    data = saved(photo(2000, 1000), "JPEG", progressive=True)
    assert (await prepared(data, access)).size == (1568, 784)


async def test_a_file_is_named_by_its_content_not_by_its_name(access: Access, put: Put) -> None:
    image = await prepared(put("drawing.png", saved(drawing(), "GIF")), access)
    assert image.original_format == "GIF"
    assert image.source.endswith("drawing.png'")


async def test_very_large_baseline_jpeg_is_read_at_a_fraction(access: Access) -> None:
    data = saved(Image.new("RGB", (8000, 7000), (10, 200, 30)), "JPEG")
    image = await prepared(data, access)
    assert image.original_size == (8000, 7000)
    assert image.size == (1568, 1372)


async def test_a_png_packed_to_more_than_its_size_is_read_up_to_its_size(access: Access) -> None:
    data = png(png_header(50, 40), chunk(b"IDAT", zeros(64 << 20)), chunk(b"IEND", b""))
    assert (await prepared(data, access)).size == (50, 40)


async def test_several_images_keep_their_order(access: Access, home: Path) -> None:
    sources = [base64.b64encode(saved(drawing(40 * n, 40), "PNG")).decode() for n in range(1, 6)]
    images = await prepare_images(sources, access=access, settings=DEFAULTS, model="x")
    assert [image.size for image in images] == [(40 * n, 40) for n in range(1, 6)]
    assert await prepare_images([], access=access, settings=DEFAULTS, model="x") == []


async def test_the_receipt_says_what_came_and_what_is_sent(access: Access, put: Put) -> None:
    image = await prepared(put("p.webp", saved(photo(3136, 1000), "WEBP")), access)
    start, _, size = image.receipt.rpartition(", ")
    assert start.endswith("p.webp': WebP 3136x1000, sent as JPEG 1568x500")
    assert size == f"{image.bytes // 1000} kB"


async def test_heic_without_the_extra_names_the_extra(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(drawing(), "HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(Exception, match=r"it is HEIC, which needs an extra .*`.*pillow-heif"):
        await prepared(data, access)


def test_neither_pillow_nor_the_http_stack_is_loaded_before_the_first_image() -> None:
    code = "import sys, ollama_mcp.media as m; print({'PIL', 'httpx', 'httpcore'} & set(sys.modules), m.__all__)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("set()")


def test_the_helper_pictures_are_what_the_tests_think() -> None:
    assert drawing().getcolors() is not None
    assert photo().getcolors(4096) is None
    assert Image.open(io.BytesIO(saved(drawing(), "JPEG"))).format == "JPEG"
