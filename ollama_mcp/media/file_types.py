"""File types by their first bytes; names and declared types are not trusted."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from ollama_mcp.errors import InvalidArgument

READABLE = "PNG, JPEG, WebP, GIF, TIFF, BMP, ICO, AVIF and HEIC"
_HEAD = 1024
_TEXT_SAMPLE = 512

_IMAGE_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    # BigTIFF: the version is 43 instead of 42.
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\1\0", "ICO"),
    (b"BM", "BMP"),
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

_CONVERT_STEP = "Convert it to PNG or JPEG first."
# What people give instead of an image, for a helpful error.
_NOT_IMAGES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "it is compressed with gzip", "Decompress it first."),
    (b"PK\3\4", "it is a ZIP archive or an Office document", "Give the image itself."),
    (b"8BPS", "it is a Photoshop file", _CONVERT_STEP),
    (b"%!PS", "it is PostScript, which is a program", _CONVERT_STEP),
    (b"\xff\x0a", "it is JPEG XL, which is not supported", _CONVERT_STEP),
    (b"\0\0\0\x0cJXL ", "it is JPEG XL, which is not supported", _CONVERT_STEP),
    (b"\0\0\0\x0cjP  ", "it is JPEG 2000, which is not supported", _CONVERT_STEP),
    (b"ID3", "it is an audio file, not an image", "Give an image."),
)
_MARKUP = re.compile(rb"^(?:\xef\xbb\xbf)?\s*<(?:\?xml|!doctype|!--|svg|html)", re.IGNORECASE)

# Readers accept a PDF that begins within the first 1,024 bytes; the header of a download or a scan may stand before
# it. It begins a line there, or follows bytes that no text has.
_PDF_LATER = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?\s*|[\r\n\0\x80-\xff])(%PDF-[12]\.[0-9])")
_PDF_OBJECT = re.compile(rb"[\r\n]\s*[0-9]+ [0-9]+ obj\b")

_HTML_NAMES = (".html", ".htm", ".xhtml")
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype html|html)\b", re.IGNORECASE | re.DOTALL
)

_IMAGE_STEP = "Give it in images, or in files of a vision model."
_AUDIO_STEP = "Give a transcript, or give the audio to a model with audio input."
_UNPACK_STEP = "Unpack it and give the files in it."
_TEXT_STEP = "Give a text file."
_EXPORT_STEP = "Export what is needed as CSV and give that."
_OFFICE_STEP = "Save it as .docx, .pdf or .csv and give that."
# What people give instead of a text.
_BINARY_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\3\4", "a ZIP archive or an Office document", "Give the files in it; of Office documents, .docx is read."),
    (b"PK\5\6", "an empty ZIP archive", _UNPACK_STEP),
    (b"\x1f\x8b", "compressed with gzip", _UNPACK_STEP),
    (b"BZh", "compressed with bzip2", _UNPACK_STEP),
    (b"\xfd7zXZ\0", "compressed with xz", _UNPACK_STEP),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", _UNPACK_STEP),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK_STEP),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK_STEP),
    (b"\x7fELF", "a program (ELF)", _TEXT_STEP),
    (b"MZ", "a program (Windows)", _TEXT_STEP),
    (b"\xfe\xed\xfa", "a program (macOS)", _TEXT_STEP),
    (b"\xcf\xfa\xed\xfe", "a program (macOS)", _TEXT_STEP),
    (b"\xca\xfe\xba\xbe", "a Java class or a program (macOS)", _TEXT_STEP),
    (b"\0asm", "WebAssembly", _TEXT_STEP),
    (b"SQLite format 3\0", "an SQLite database", _EXPORT_STEP),
    (b"PAR1", "a Parquet table", _EXPORT_STEP),
    (b"GGUF", "a model (GGUF)", "Use ollama_create_model to bring a model to Ollama."),
    (b"\x93NUMPY", "a NumPy array", _TEXT_STEP),
    (b"\x80\x04\x95", "a Python pickle", _TEXT_STEP),
    (b"\x80\x05\x95", "a Python pickle", _TEXT_STEP),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or an encrypted Office document", _OFFICE_STEP),
    (b"8BPS", "a Photoshop file", "Save it as PNG and give that in images."),
    (b"ID3", "audio (MP3)", _AUDIO_STEP),
    (b"OggS", "audio or video (Ogg)", _AUDIO_STEP),
    (b"fLaC", "audio (FLAC)", _AUDIO_STEP),
    (b"\x1a\x45\xdf\xa3", "video (Matroska or WebM)", _AUDIO_STEP),
    (b"\xff\x0a", "an image (JPEG XL)", _IMAGE_STEP),
    (b"\0\0\0\x0cJXL ", "an image (JPEG XL)", _IMAGE_STEP),
    (b"wOFF", "a font", _TEXT_STEP),
    (b"wOF2", "a font", _TEXT_STEP),
)


class UnusableMedia(InvalidArgument):
    """The content cannot be given to a model.

    The message says what it is, as the rest of a sentence: `with_position` puts the source before it.
    """


class BinaryType(NamedTuple):
    """What a binary file is, such as "a PDF", and the next step for someone who wanted its text."""

    description: str
    next_step: str


def image_format(data: bytes) -> str | None:
    """Return Pillow's name of the format that bytes start as, such as "PNG"; None if it is not a readable image."""
    for signature, name in _IMAGE_SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return _iso_media_format(data)


def _iso_media_format(data: bytes) -> str | None:
    # ISO/IEC 14496-12: a `ftyp` box comes first, with a major brand, a version, and compatible brands.
    if data[4:8] != b"ftyp":
        return None
    length = min(int.from_bytes(data[:4], "big"), _HEAD)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, length - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def is_audio(data: bytes) -> bool:
    """Tell whether bytes start as WAV or MP3, by the same bytes as Ollama does (contract of the API)."""
    is_wav = data[:4] == b"RIFF" and data[8:12] == b"WAVE"
    is_mp3 = data.startswith(b"ID3") or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0)
    return is_wav or is_mp3


def file_kind(data: bytes, name: str, *, fetched: bool = False) -> str:
    """Return what a file is read as: "image", "pdf", "docx", "html", "notebook" or "text".

    The content decides, with three exceptions. Notebooks and local HTML files go by their names, since JSON and markup
    may stand in any file. So does a DOCX of which only the start is given.

    Args:
        data: All of it or the start, 1 kB at least.
        name: Its name or address.
        fetched: Whether it comes from an address: what looks like HTML is HTML then, whatever its name.
    """
    suffix = os.path.splitext(name)[1].lower()
    if looks_like_image(data):
        return "image"
    if pdf_start(data) is not None:
        return "pdf"
    if data.startswith(b"PK\3\4") and (suffix == ".docx" or b"word/document.xml" in data):
        return "docx"
    if suffix == ".ipynb":
        return "notebook"
    if suffix in _HTML_NAMES or (fetched and _HTML_START.match(data[:_HEAD])):
        return "html"
    return "text"


def pdf_start(data: bytes) -> int | None:
    """Return where the PDF begins that a file is; None if it is none, though it may be a text about PDFs.

    Args:
        data: All of it or the start, 1 kB at least.
    """
    if data.startswith(b"%PDF-"):
        return 0
    if (found := _PDF_LATER.search(data[: _HEAD + len("%PDF-1.7")])) is None:
        return None
    content = data[found.start(1) :]
    is_whole = content.rstrip().endswith(b"%%EOF")
    return found.start(1) if _PDF_OBJECT.search(content) and (is_whole or _starts_as_binary(content)) else None


def looks_like_image(data: bytes) -> bool:
    """Tell whether a file that starts with these bytes is an image that `prepare_images` may read.

    Unlike `image_format`, it does not take a text whose first letters are an image's signature ("BM", "GIF89a").
    """
    return image_format(data) is not None and _starts_as_binary(data)


def binary_type(data: bytes) -> BinaryType | None:
    """Return what a file that starts with these bytes is; None if it may be text.

    Args:
        data: Its first 512 bytes at least, or all of it.
    """
    if looks_like_image(data):
        return BinaryType("an image", _IMAGE_STEP)
    if data[4:8] == b"ftyp" and _starts_as_binary(data):
        return BinaryType("video or audio (MP4)", _AUDIO_STEP)
    if data[:4] == b"RIFF" and _starts_as_binary(data):
        return BinaryType("audio or video (RIFF)", _AUDIO_STEP)
    # A POSIX tar archive starts with the name of its first file; its signature comes later.
    if data[257:262] == b"ustar":
        return BinaryType("a TAR archive", _UNPACK_STEP)
    if pdf_start(data) is not None:
        return BinaryType("a PDF", "Give it in files with the name it has.")
    for signature, description, next_step in _BINARY_SIGNATURES:
        # "MZ" or "GGUF is ..." may begin a text: a signature counts only if binary data follows.
        if data.startswith(signature) and _starts_as_binary(data):
            return BinaryType(description, next_step)
    return None


def _starts_as_binary(data: bytes) -> bool:
    head = data[:_TEXT_SAMPLE]
    if b"\0" in head:
        return True
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # An error in the last three bytes of the sample is a character that the cut went through.
        return error.start < len(head) - 3 or len(data) <= _TEXT_SAMPLE
    # Control characters, without white space (9 to 13) and ESC (27), which logs with colours have.
    return any(byte < 9 or 13 < byte < 27 for byte in head)


def unreadable_image(data: bytes) -> UnusableMedia:
    """Return the error for bytes that are not a readable image; it says what they are and never quotes them."""
    if not data:
        return UnusableMedia("it is empty.", next_step="Give a file with an image in it.")
    if data.startswith(b"%PDF") or pdf_start(data) is not None:
        step = "Convert its pages to images (`pdftoppm -png -r 150 FILE page`) and give those."
        return UnusableMedia("it is a PDF.", next_step=step)
    for signature, description, next_step in _NOT_IMAGES:
        if data.startswith(signature):
            return UnusableMedia(f"{description}.", next_step=next_step)
    head = data[:_HEAD]
    if _MARKUP.match(head):
        if b"<svg" in head.lower():
            return UnusableMedia("it is SVG, which is a drawing program, not pixels.", next_step=_CONVERT_STEP)
        return UnusableMedia("it is a web page or XML, not an image.", next_step="Give the address of the image.")
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return UnusableMedia("it is an audio file, not an image.", next_step="Give an image.")
    if data[4:8] == b"ftyp":
        return UnusableMedia("it is a video or an unsupported format.", next_step="Give an image taken from it.")
    return UnusableMedia(f"it is not an image of a supported format ({READABLE}).", next_step="Check what the file is.")
