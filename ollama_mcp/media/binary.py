"""What a file that is no text is, by its first bytes, and what to do with it instead."""

from __future__ import annotations

from typing import NamedTuple

from ollama_mcp.media.sniff import has_image_start, iso_format

_IMAGE_STEP = "Give it in images, or in files of a model that sees."
_SOUND_STEP = "Give a transcript of it, or the sound to a model that hears."
_UNPACK = "Unpack it and give the files in it."
_NO_TEXT = "Give a text file."
_SQLITE_STEP = "Export what is needed as CSV and give that."
_OFFICE_STEP = "Save it as .docx, .pdf or .csv and give that."
# Text may start with any ASCII word, so every entry that is one has a byte that text lacks, or is long enough.
_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF-", "a PDF", "Give it in files with the name it has."),
    (b"PK\3\4", "a ZIP archive or an Office document", "Give the files in it; of Office documents, .docx is read."),
    (b"PK\5\6", "an empty ZIP archive", _UNPACK),
    (b"\x1f\x8b", "packed with gzip", _UNPACK),
    (b"BZh", "packed with bzip2", _UNPACK),
    (b"\xfd7zXZ\0", "packed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed with Zstandard", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x7fELF", "a program (ELF)", _NO_TEXT),
    (b"MZ", "a program (Windows)", _NO_TEXT),
    (b"\xfe\xed\xfa", "a program (macOS)", _NO_TEXT),
    (b"\xcf\xfa\xed\xfe", "a program (macOS)", _NO_TEXT),
    (b"\xca\xfe\xba\xbe", "a Java class or a program (macOS)", _NO_TEXT),
    (b"\0asm", "WebAssembly", _NO_TEXT),
    (b"SQLite format 3\0", "an SQLite database", _SQLITE_STEP),
    (b"PAR1", "a Parquet table", _SQLITE_STEP),
    (b"GGUF", "a model (GGUF)", "Use ollama_create_model to bring a model to Ollama."),
    (b"\x93NUMPY", "a NumPy array", _NO_TEXT),
    (b"\x80\x04\x95", "a Python pickle", _NO_TEXT),
    (b"\x80\x05\x95", "a Python pickle", _NO_TEXT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or an encrypted Office document", _OFFICE_STEP),
    (b"8BPS", "a Photoshop file", "Save it as PNG and give that in images."),
    (b"ID3", "a sound (MP3)", _SOUND_STEP),
    (b"OggS", "a sound or a film (Ogg)", _SOUND_STEP),
    (b"fLaC", "a sound (FLAC)", _SOUND_STEP),
    (b"\x1a\x45\xdf\xa3", "a film (Matroska or WebM)", _SOUND_STEP),
    (b"\xff\x0a", "an image (JPEG XL)", _IMAGE_STEP),
    (b"\0\0\0\x0cJXL ", "an image (JPEG XL)", _IMAGE_STEP),
    (b"wOFF", "a font", _NO_TEXT),
    (b"wOF2", "a font", _NO_TEXT),
)
# Magic of letters alone also begins honest text ("MZ", "GGUF is ..."): these count only where no text follows.
_LOOKED_AT = 512


class Binary(NamedTuple):
    """What a binary file is, such as "a PDF", and the next step for whoever wanted its text."""

    what: str
    step: str


def binary_kind(data: bytes) -> Binary | None:
    """Return what a file that starts with these bytes is; None where it may be text.

    Args:
        data: Its first 512 bytes at least, or all of it.
    """
    if looks_like_image(data):
        return Binary("an image", _IMAGE_STEP)
    if data[4:8] == b"ftyp" and _has_no_text_start(data):
        return Binary("a film or a sound (MP4)", _SOUND_STEP)
    if data[:4] == b"RIFF" and _has_no_text_start(data):
        return Binary("a sound or a film (RIFF)", _SOUND_STEP)
    if data[257:262] == b"ustar":
        return Binary("a TAR archive", _UNPACK)
    for start, what, step in _STARTS:
        if data.startswith(start) and (start == b"%PDF-" or _has_no_text_start(data)):
            return Binary(what, step)
    return None


def looks_like_image(data: bytes) -> bool:
    """Tell whether a file that starts with these bytes is an image that `prepare_images` may read.

    Unlike `has_image_start`, a text whose first letters are an image's magic ("BM", "GIF89a") is none.
    """
    return (has_image_start(data) or iso_format(data) is not None) and _has_no_text_start(data)


def _has_no_text_start(data: bytes) -> bool:
    head = data[:_LOOKED_AT]
    if b"\0" in head:
        return True
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character that the cut went through is no fault of the text.
        return error.start < len(head) - 3 or len(data) <= _LOOKED_AT
    return any(byte < 9 or 13 < byte < 27 for byte in head)
