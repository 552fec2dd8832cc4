"""Arbitrary and mutated bytes give a valid image within the limits, or an error of ours."""

from __future__ import annotations

import asyncio
import base64
import io
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from ollama_mcp.access import Access, ReadRules, RuntimeEnvironment
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.media import prepare_images
from ollama_mcp.settings.access import ImageSettings, ReadSettings, UrlSettings
from tests.media.image_samples import drawing, exif, photo, saved, swapped_profile

FORMATS = ["PNG", "JPEG", "PJPEG", "WEBP", "GIF", "TIFF", "LZW", "BMP", "ICO", "AVIF", "HEIF"]
STARTS = [
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\0", b"MM\0+", b"BM", b"\0\0\1\0"),
    *(b"\0\0\0\x1cftypavif", b"RIFF\0\0\0\0WEBPVP8"),
]
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
LIMITS = ImageSettings(max_edge=64, max_megapixels=1, max_megapixels_jpeg=2)
NO_FILES = Access(
    ReadRules(ReadSettings(image_folders=[]), RuntimeEnvironment(home="/nowhere", working_folder="/nowhere")),
    UrlSettings(),
)


@cache
def valid_image(form: str) -> bytes:
    if form == "PJPEG":
        return saved(photo(80, 60), "JPEG", progressive=True, exif=exif(6))
    if form == "LZW":
        return saved(drawing(80, 60), "TIFF", compression="tiff_lzw")
    options = {"exif": exif(5), "icc_profile": swapped_profile()} if form in ("PNG", "JPEG", "WEBP", "AVIF") else {}
    return saved(drawing(80, 60), form, **options)


def outcome(text: str) -> Image.Image | OllamaMCPError:
    try:
        (image,) = asyncio.run(prepare_images([text], access=NO_FILES, settings=LIMITS, model="x"))
    except OllamaMCPError as error:
        assert 0 < len(str(error)) <= 400
        return error
    pixels = Image.open(io.BytesIO(base64.b64decode(image.base64, validate=True)), formats=["PNG", "JPEG"])
    pixels.load()
    assert max(pixels.size) <= LIMITS.max_edge
    assert pixels.size == image.size
    assert pixels.mode in ("RGB", "L")
    return pixels


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=SLOW)
@given(start=st.sampled_from([b"", *STARTS]), rest=st.binary(max_size=400))
def test_arbitrary_bytes_give_an_image_or_an_error(start: bytes, rest: bytes) -> None:
    outcome(base64.b64encode(start + rest).decode())


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=SLOW)
@given(
    form=st.sampled_from(FORMATS),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 6)), max_size=4),
    keep=st.floats(0.2, 1),
)
@example(form="JPEG", edits=[], keep=1.0)
def test_mutated_images_give_an_image_or_an_error(
    form: str, edits: list[tuple[float, bytes, int]], keep: float
) -> None:
    data = valid_image(form)
    for place, new, removed in edits:
        at = int(place * len(data))
        data = data[:at] + new + data[at + removed :]
    outcome(base64.b64encode(data[: int(keep * len(data)) if edits else len(data)]).decode())


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=SLOW)
@given(st.text(max_size=300))
@example("data:,")
@example("file://")
@example("http://")
@example("\udc80")
def test_arbitrary_text_gives_an_image_or_an_error(text: str) -> None:
    outcome(text)


def test_every_valid_format_gives_an_image() -> None:
    assert not Path("/nowhere").exists()
    for form in FORMATS:
        assert isinstance(outcome(base64.b64encode(valid_image(form)).decode()), Image.Image)
