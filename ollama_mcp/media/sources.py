"""One string, four kinds of source: a path, an http(s) address, a data: URI, or base64."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ollama_mcp.access import Access, Purpose
from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.media.inline import decode_base64, decode_data_uri, first_bytes, looks_like_base64, too_large
from ollama_mcp.media.sniff import has_image_start

LONGEST_SHOWN = 60
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]?")
_FORMS = "Give a path, an http(s) address, a data: URI, or base64."


@dataclass(frozen=True, slots=True)
class Source:
    """Where one image comes from.

    Args:
        shown: What receipts and errors call it: never its content, nor the query of an address.
        kind: Which of the four it is.
        text: The string of the call.
        fetched: The body at the address, where it is one.
    """

    shown: str
    kind: str
    text: str
    fetched: bytes = b""

    def read(self, access: Access, limit: int, kinds: tuple[str, ...]) -> bytes:
        """Return the content, at most `limit` bytes; disk work and decoding, to be called in a thread.

        Raises:
            OllamaMCPError: It cannot be had: as `Access.open_file`, `decode_base64` and `decode_data_uri` say.
        """
        if self.kind == "path":
            with access.open_file(self.text, Purpose.IMAGE) as file:
                return file.read(limit, setting="images.max_bytes")
        if self.kind == "data":
            return decode_data_uri(self.text, limit, kinds)
        if self.kind == "base64":
            return decode_base64(self.text, limit)
        if len(self.fetched) > limit:
            raise too_large(limit)
        return self.fetched


def source_of(text: str, *, sound: bool = False) -> Source:
    """Return the source that a string means.

    Args:
        text: The string of the call.
        sound: Whether a sound is expected rather than an image.

    Raises:
        InvalidArgument: It is empty, or an address of a scheme that is not fetched.
    """
    text = text.strip()
    if not text:
        raise InvalidArgument("the source is empty.", next_step=_FORMS)
    start = text[:16].lower()
    if start.startswith("data:"):
        return Source(f"a data: URI ({_size(text)})", "data", text)
    if start.startswith(("http:", "https:")):
        return Source(quoted(re.split(r"[?#]", text, maxsplit=1)[0], LONGEST_SHOWN), "url", text)
    if _is_base64(text, sound):
        return Source(f"base64 text ({_size(text)})", "base64", text)
    if _SCHEME.match(text) and not start.startswith("file:") and not _DRIVE.match(text):
        raise InvalidArgument(f"{quoted(text, LONGEST_SHOWN)} has a scheme that is not fetched.", next_step=_FORMS)
    return Source(quoted(text, LONGEST_SHOWN), "path", text)


def _is_base64(text: str, sound: bool) -> bool:
    if not looks_like_base64(text):
        return False
    # Base64 of a JPEG starts with "/9j/" and may pass for a path; what decodes to an image's first bytes is no path.
    head = first_bytes(text)
    if has_image_start(head) or (sound and is_sound(head)):
        return True
    return len(text) > 255 and not text.startswith("/")


def is_sound(data: bytes) -> bool:
    """Tell whether bytes start as WAV or MP3, as Ollama tells by the contract of the API."""
    is_wav = data[:4] == b"RIFF" and data[8:12] == b"WAVE"
    is_mp3 = data.startswith(b"ID3") or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0)
    return is_wav or is_mp3


def _size(text: str) -> str:
    return f"{max(1, len(text) * 3 // 4000)} kB"
