"""The four kinds of source, and the errors for those that cannot be used."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from ollama_mcp.access import Access, FolderNotAllowed
from ollama_mcp.errors import InvalidArgument, NotAllowed, OllamaMCPError
from ollama_mcp.media import prepare_audio, prepare_images
from ollama_mcp.settings.access import ImageSettings, UrlSettings
from tests.access.fake_network import PUBLIC, Detour, Names, answer, listening
from tests.media.conftest import Put
from tests.media.image_samples import CANARY, drawing, photo, saved

DEFAULTS = ImageSettings()
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(24)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def names(sources: list[str], access: Access, settings: ImageSettings = DEFAULTS) -> list[str]:
    images = await prepare_images(sources, access=access, settings=settings, model="x")
    assert all(CANARY not in image.receipt for image in images)
    return [image.source for image in images]


async def refusal(source: str, access: Access, settings: ImageSettings = DEFAULTS) -> OllamaMCPError:
    with pytest.raises(OllamaMCPError) as caught:
        await prepare_images([source], access=access, settings=settings, model="x")
    assert caught.value.message.startswith("image 1 of 1: ")
    assert len(str(caught.value)) <= 400
    assert CANARY not in str(caught.value)
    return caught.value


async def test_a_path_a_tilde_a_file_uri_a_data_uri_and_base64_are_read(access: Access, put: Put) -> None:
    data = saved(drawing(), "PNG")
    path = put("cat.png", data)
    sources = [path, "~/cat.png", f"file://{path}", f"data:image/png;base64,{b64(data)}", b64(data)]
    shown = await names(sources, access)
    assert shown[1:3] == ["'~/cat.png'", f"'file://{path}'"] or shown[1] == "'~/cat.png'"
    assert shown[3].startswith("a data: URI (")
    assert shown[4].startswith("base64 text (")


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
async def test_base64_is_taken_with_line_breaks_in_the_url_safe_alphabet_and_without_padding(
    access: Access, form: str
) -> None:
    data = saved(photo(61, 40), form)
    text = b64(data)
    for variant in (
        base64.encodebytes(data).decode(),
        text.replace("+", "-").replace("/", "_"),
        text.rstrip("="),
        f" {text}\n",
    ):
        (image,) = await prepare_images([variant], access=access, settings=DEFAULTS, model="x")
        assert image.base64 == text


async def test_base64_of_a_jpeg_is_not_taken_for_a_path(access: Access) -> None:
    text = b64(saved(drawing(), "JPEG"))
    assert text.startswith("/9j/")
    assert (await names([text], access))[0].startswith("base64 text")


async def test_data_uris_come_without_type_without_base64_and_with_escapes(access: Access) -> None:
    data = saved(drawing(20, 20), "PNG")
    for uri in (
        f"data:;base64,{b64(data)}",
        f"DATA:image/jpeg;charset=x;base64,{b64(data)}",
        f"data:image/png;base64,{quote(b64(data), safe='')}",
        f"data:application/octet-stream,{quote(data)}",
    ):
        await names([uri], access)


@pytest.mark.parametrize(
    ("uri", "word"),
    [
        (f"data:text/plain;base64,{b64(CANARY.encode())}", "type"),
        ("data:application/pdf;base64,JVBERi0xLjc=", "type"),
        ("data:image/png;base64", "comma"),
        ("data:image/png;base64,", "empty"),
        ("data:image/png;base64,####", "base64"),
        (f"data:image/png;base64,{b64(CANARY.encode())}", "not an image"),
        ("data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (f"data:image/png,{'a' * 400_000}", "images.max_bytes"),
        (f"data:image/png,{'a' * 200_000}", "images.max_bytes"),
        (f"data:image/png;base64,{'a' * 200_000}", "images.max_bytes"),
    ],
)
async def test_bad_data_uris_say_why(access: Access, uri: str, word: str) -> None:
    assert word in (await refusal(uri, access, ImageSettings(max_bytes=100_000))).message


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("x.png", (CANARY * 100).encode(), "not an image"),
        ("x.png", b"", "empty"),
        ("x.pdf", b"%PDF-1.7\n" + CANARY.encode(), "PDF"),
        ("later.pdf", b"\n%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n" + CANARY.encode(), "PDF"),
        ("x.svg", b"<?xml version='1.0'?>\n<svg/>", "SVG"),
        ("x.svg", b"\xef\xbb\xbf  <SVG>", "SVG"),
        ("x.svgz", b"\x1f\x8b\x08", "gzip"),
        ("x.png", f"<!DOCTYPE html><p>{CANARY}".encode(), "web page"),
        ("x.docx", b"PK\3\4", "ZIP"),
        ("x.psd", b"8BPS", "Photoshop"),
        ("x.eps", b"%!PS-Adobe", "PostScript"),
        ("x.jxl", b"\xff\x0a", "JPEG XL"),
        ("x.jp2", b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        ("x.ppm", b"P6 30 10 255\n" + CANARY.encode() * 100, "not an image"),
        ("x.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video"),
        ("x.mp3", b"ID3\4", "audio"),
        ("x.wav", WAV, "audio"),
        ("x.png", b"\x89PNG\r\n\x1a\n" + CANARY.encode(), "damaged PNG"),
        ("x.jpg", b"\xff\xd8\xff\xe0" + CANARY.encode(), "damaged JPEG"),
        ("x.webp", b"RIFF\x10\0\0\0WEBP" + CANARY.encode(), "damaged WebP"),
        ("x.bmp", b"BM" + CANARY.encode(), "damaged BMP"),
        ("x.avif", b"\0\0\0\x1cftypavif" + CANARY.encode(), "damaged AVIF"),
        ("x.heic", b"\0\0\0\x1cftypheic" + CANARY.encode(), "damaged HEIC"),
    ],
)
async def test_files_that_are_not_readable_images_say_what_they_are(
    access: Access, put: Put, name: str, data: bytes, word: str
) -> None:
    error = await refusal(put(name, data), access)
    assert isinstance(error, InvalidArgument)
    assert word in error.message
    assert error.next_step


async def test_an_image_that_is_missing_is_a_folder_or_forbidden_says_so(access: Access, put: Put, home: Path) -> None:
    put("holiday.png", b"")
    assert "'holiday.png'" in (await refusal("~/holyday.png", access)).next_step
    assert "folder" in (await refusal(str(home), access)).message
    outside = await refusal(str(home.parent / "x.png"), access)
    assert isinstance(outside, FolderNotAllowed)
    assert outside.folder == str(home.parent)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("", "empty"),
        ("photo", "absolute"),
        ("pictures/photo.png", "absolute"),
        ("ftp://host/a.png", "scheme"),
        ("s3://bucket/a.png", "scheme"),
        ("QUFB" * 100, "not an image"),
        ("QUFB" * 100 + "Q", "base64"),
        ("QUFB" * 2000 + "!" + "QUFB" * 100, "base64"),
        ("QUFB" * 50_000, "images.max_bytes"),
        ("QUFB" * 36_000, "images.max_bytes"),
        ("C:\\Users\\me\\a.png", "absolute"),
        ("\\\\host\\share\\a.png", "share"),
    ],
)
async def test_strings_that_are_not_a_source_say_what_is_accepted(access: Access, source: str, word: str) -> None:
    assert word in (await refusal(source, access, ImageSettings(max_bytes=100_000))).message


async def test_a_large_file_names_the_limit_and_its_setting(access: Access, put: Put) -> None:
    error = await refusal(put("large.png", bytes(2_000_001)), access, ImageSettings(max_bytes=2_000_000))
    assert "2 MB" in error.message
    assert "images.max_bytes" in error.message


async def test_the_error_says_which_image_of_the_list_it_was(access: Access) -> None:
    good = b64(saved(drawing(), "PNG"))
    with pytest.raises(InvalidArgument, match=r"^image 3 of 5: "):
        await prepare_images([good, good, "nonsense", good, good], access=access, settings=DEFAULTS, model="x")


async def test_too_many_images_name_the_limit_and_its_setting(access: Access) -> None:
    with pytest.raises(InvalidArgument, match=r"30 images.*at most 20.*images\.max_count"):
        await prepare_images(["/a"] * 30, access=access, settings=DEFAULTS, model="x")
    with pytest.raises(InvalidArgument, match=r"21 audio files.*at most 20.*images\.max_count"):
        await prepare_audio(["/a"] * 21, access=access, settings=DEFAULTS)


async def test_over_http_paths_are_off_and_inline_images_work(access: Access, put: Put) -> None:
    data = saved(drawing(), "PNG")
    facts = replace(access.read_rules.environment, over_http=True, has_token=True)
    remote = replace(access, read_rules=replace(access.read_rules, environment=facts))
    assert "read.over_http" in (await refusal(put("cat.png", data), remote)).message
    await names([b64(data), f"data:image/png;base64,{b64(data)}"], remote)


async def test_urls_are_off_by_default(access: Access) -> None:
    error = await refusal(f"https://public.test/a.png?signature={CANARY}", access)
    assert isinstance(error, NotAllowed)
    assert "urls.enabled" in error.message


async def test_an_image_is_fetched_and_its_bytes_decide_what_it_is(access: Access) -> None:
    pages = {
        "/a.png?key=CANARY-7f3a91": answer(saved(drawing(), "GIF"), headers="Content-Type: image/png\r\n"),
        "/page": answer(b"<html>", headers="Content-Type: image/png\r\n"),
        "/svg": answer(b"<svg/>", headers="Content-Type: image/png\r\n"),
        "/wav": answer(WAV),
    }
    async with listening({**pages}) as site:
        urls = UrlSettings(enabled=True)
        online = replace(access, urls=urls, resolver=Names({"public.test": [[PUBLIC]]}), network=Detour({PUBLIC: site}))
        (image,) = await prepare_images(
            [f"HTTP://public.test/a.png?key={CANARY}"], access=online, settings=DEFAULTS, model="x"
        )
        assert (image.original_format, image.source) == ("GIF", "'HTTP://public.test/a.png'")
        assert "web page" in (await refusal("http://public.test/page", online)).message
        assert "SVG" in (await refusal("http://public.test/svg", online)).message
        small = ImageSettings(max_bytes=10)
        assert "images.max_bytes" in (await refusal(f"http://public.test/a.png?key={CANARY}", online, small)).message
        (audio,) = await prepare_audio(["http://public.test/wav"], access=online, settings=DEFAULTS)
        assert audio.format == "WAV"


@pytest.mark.parametrize(
    ("data", "form"), [(WAV, "WAV"), (b"ID3\4" + bytes(300), "MP3"), (b"\xff\xfb\x90" + bytes(300), "MP3")]
)
async def test_audio_passes_unchanged_from_every_source(access: Access, put: Put, data: bytes, form: str) -> None:
    sources = [put("a.bin", data), f"data:audio/wav;base64,{b64(data)}", b64(data)]
    prepared = await prepare_audio(sources, access=access, settings=DEFAULTS)
    assert [base64.b64decode(audio.base64) for audio in prepared] == [data] * 3
    assert {audio.format for audio in prepared} == {form}
    assert prepared[0].receipt.endswith(f"a.bin': {form}, 1 kB, unchanged")


@pytest.mark.parametrize("data", [b"", b"OggS" + CANARY.encode(), b"RIFF\0\0\0\0WEBP" + bytes(20), b"\xff"])
async def test_what_is_neither_wav_nor_mp3_is_refused(access: Access, put: Put, data: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"^audio 1 of 1: ") as caught:
        await prepare_audio([put("a.wav", data)], access=access, settings=DEFAULTS)
    assert CANARY not in str(caught.value)
    with pytest.raises(InvalidArgument, match="type"):
        await prepare_audio(["data:image/png;base64,AAAA"], access=access, settings=DEFAULTS)
