"""Bytes to text: encodings, line breaks, control characters, and binary files."""

from __future__ import annotations

import codecs
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.media import NotText, decode_text
from tests.media.image_samples import CANARY, drawing, saved

GERMAN = "Die Größe der Straße ist für alle schön.\n"
RUSSIAN = "Привет, мир! Это обычный русский текст для проверки.\n"
JAPANESE = "これは日本語のテキストです。文字コードの検出を試します。\n"
CHINESE = "这是一个中文文本用于测试编码检测。\n"


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_byte_order_mark_decides_and_is_not_part_of_the_text(mark: bytes, encoding: str) -> None:
    assert decode_text(mark + RUSSIAN.encode(encoding), name="a") == (RUSSIAN, encoding)


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        (GERMAN, "latin-1", "cp1252"),
        ("price: 5 € \u2013 fine\n", "cp1252", "cp1252"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy.\n", "cp1250", "cp1250"),
        ("Zażółć gęślą jaźń\n" * 30, "cp1250", "cp1250"),
        (RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN, "koi8_r", "koi8_r"),
        (JAPANESE, "shift_jis", "cp932"),
        (JAPANESE, "euc_jp", "euc_jp"),
        (CHINESE, "gb18030", "gb18030"),
        ("이것은 한국어 텍스트입니다. 인코딩 검사.\n", "euc_kr", "cp949"),
        (GERMAN, "utf-8", "utf-8"),
        (GERMAN, "utf-16-le", "utf-16-le"),
        (GERMAN, "utf-16-be", "utf-16-be"),
    ],
)
def test_common_encodings_are_detected(text: str, encoding: str, found: str) -> None:
    assert decode_text(text.encode(encoding), name="a") == (text, found)


def test_what_is_not_ascii_far_behind_the_start_is_what_the_detector_sees() -> None:
    text = "x = 1\n" * 200_000 + GERMAN * 2 + "y = 2\n" * 200_000
    assert decode_text(text.encode("latin-1"), name="a") == (text, "cp1252")


def test_ten_megabytes_on_one_line_are_read() -> None:
    text = "ä" * 10_000_000
    assert decode_text(text.encode(), name="a").text == text


def test_a_damaged_byte_in_utf_8_is_shown_and_does_not_change_the_encoding() -> None:
    damaged = (GERMAN * 3).encode() + b"\xff end"
    text, encoding = decode_text(damaged, name="a")
    assert encoding == "utf-8"
    assert text == GERMAN * 3 + "\ufffd end"


def test_an_empty_file_is_an_empty_text() -> None:
    assert decode_text(b"", name="a") == ("", "utf-8")


@pytest.mark.parametrize("piece", [1, 999_999, 1_000_000])
def test_line_breaks_of_every_kind_become_one_wherever_they_stand(piece: int) -> None:
    start = "a" * piece
    assert decode_text((start + "\r\nb\rc\nd\r").encode(), name="a").text == start + "\nb\nc\nd\n"
    assert decode_text((start + "\r\nb\r\x07\n").encode(), name="a").text == start + "\nb\n\ufffd\n"


def test_control_characters_are_replaced_one_for_one() -> None:
    text = decode_text("a\x1b[31mred\x7f\x9b2J\t\f\n".encode(), name="a").text
    assert text == "a\ufffd[31mred\ufffd\ufffd2J\t\f\n"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (saved(drawing(), "PNG"), "an image"),
        (saved(drawing(), "JPEG"), "an image"),
        (saved(drawing(), "GIF"), "an image"),
        (saved(drawing(), "WEBP"), "an image"),
        (saved(drawing(), "BMP"), "an image"),
        (b"%PDF-1.4\n...", "a PDF"),
        (b"\r\n%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "a PDF"),
        (b"PK\3\4" + bytes(40), "a ZIP"),
        (b"\x1f\x8b\x08" + bytes(9), "gzip"),
        (b"\x7fELF\2\1\1\0", "a program (ELF)"),
        (b"MZ\x90\0\3\0", "a program (Windows)"),
        (b"SQLite format 3\0", "SQLite"),
        (b"GGUF\3\0\0\0", "GGUF"),
        (b"\0\0\0\x20ftypisom" + bytes(20), "MP4"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "RIFF"),
        (bytes(257) + b"ustar\x0000", "a TAR"),
        (b"BZh9\x31\x41\x59\x26\x53\x59\xff", "bzip2"),
        (b"some text\0and more", "NUL bytes"),
        (b"\1\2\3\4\5\6abc", "control characters"),
        ("x".encode("utf-16") + b"\x00\xd8" * 40, "is marked as utf-16-le but is not"),
    ],
)
def test_binary_files_are_refused_by_what_they_are(data: bytes, what: str) -> None:
    with pytest.raises(NotText) as caught:
        decode_text(
            data + CANARY.encode("utf-16-le" if data.startswith(codecs.BOM_UTF16_LE) else "ascii"), name="/x/file"
        )
    assert what in caught.value.message
    assert "'/x/file'" in caught.value.message
    assert caught.value.next_step
    assert CANARY not in str(caught.value)
    assert len(str(caught.value)) <= 400


def test_an_image_is_told_where_it_belongs() -> None:
    with pytest.raises(InvalidArgument, match="Give it in images, or in files of a vision model"):
        decode_text(saved(drawing(), "PNG"), name="a.png")


@pytest.mark.parametrize(
    "text", ["BMW is a car\n", "GIF89a is a format\n", "MZ was a man\n", "GGUF files\n", "RIFF ", "ID3 tags", "PK\n"]
)
def test_words_that_are_a_signature_of_a_format_are_text(text: str) -> None:
    assert decode_text(text.encode(), name="a").text == text
    long = text + "ä" * 5_000
    assert decode_text(long.encode(), name="a").text == long


def test_random_bytes_are_not_text() -> None:
    data = random.Random(7).randbytes(5_000).replace(b"\0", b"")
    with pytest.raises(NotText, match="control characters"):
        decode_text(data, name="a")
    with pytest.raises(NotText, match="encoding is unknown"):
        decode_text(bytes(byte | 0x80 for byte in data if byte > 0x7F), name="a")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.binary(max_size=300)
    | st.text(max_size=200).map(str.encode)
    | st.text(max_size=99).map(lambda s: s.encode("utf-16"))
)
def test_any_bytes_are_a_text_that_can_be_sent_or_a_clear_error(data: bytes) -> None:
    try:
        text = decode_text(data, name="a").text
    except NotText as error:
        assert error.next_step
        return
    assert text.encode().decode() == text
    assert not set(text) & {*map(chr, range(9)), "\x0b", "\r", "\x1b", "\x7f", "\x9b"}
