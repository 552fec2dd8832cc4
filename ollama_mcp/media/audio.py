"""Audio from any source for models with audio input: WAV and MP3, sent unchanged."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ollama_mcp.access import Access
from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.media.file_types import UnusableMedia, is_audio
from ollama_mcp.media.limiter import shared_limiter
from ollama_mcp.media.sources import Source, parse_source, with_position
from ollama_mcp.settings.access import ImageSettings

# Accepted in data: URIs.
MEDIA_TYPES = ("audio/",)


@dataclass(frozen=True, slots=True)
class PreparedAudio:
    """One audio file as it goes into the `images` field of Ollama's API, which takes audio too.

    Args:
        base64: Standard base64 with padding.
        source: Where it came from, shortened; never its content.
        format: "WAV" or "MP3".
        bytes: Size before base64.
    """

    base64: str
    source: str
    format: str
    bytes: int

    @property
    def receipt(self) -> str:
        """One line for the user: what was read."""
        return f"{self.source}: {self.format}, {max(1, self.bytes // 1000)} kB, unchanged"


async def prepare_audio(sources: Sequence[str], *, access: Access, settings: ImageSettings) -> list[PreparedAudio]:
    """Return audio in a form that Ollama takes, in the order of the sources; the limits are those of images.

    Args:
        sources: As for `prepare_images`; files are read where images are.
        access: What this client may read and fetch.
        settings: Limits of size and number.

    Raises:
        InvalidArgument: Too many, too large together, or one is neither WAV nor MP3; it says which one and why.
        NotAllowed: One may not be read or fetched.
        DiskError: One could not be read.
    """
    if len(sources) > settings.max_count:
        raise InvalidArgument(
            f"{len(sources)} audio files were given; at most {settings.max_count} go into one call "
            "(setting images.max_count).",
            next_step="Send fewer, or raise the setting.",
        )
    prepared: list[PreparedAudio] = []
    left = settings.max_bytes
    for number, text in enumerate(sources, start=1):
        prepared.append(await _prepare_one(text, f"audio {number} of {len(sources)}", access, settings))
        # Sent unchanged: unlike scaled images, all of them stay in memory at full size until the answer is there.
        left -= prepared[-1].bytes
        if left < 0:
            raise InvalidArgument(
                f"The first {number} audio files are together larger than {settings.max_bytes / 1e6:g} MB "
                "(setting images.max_bytes).",
                next_step="Send fewer or shorter ones.",
            )
    return prepared


async def _prepare_one(text: str, position: str, access: Access, settings: ImageSettings) -> PreparedAudio:
    source: Source | None = None
    try:
        source = parse_source(text, audio=True)
        if source.kind == "url":
            source = replace(source, fetched=await access.fetch(source.text))
        chosen = source
        return await shared_limiter().run(lambda: _read_audio(chosen, access, settings))
    except OllamaMCPError as error:
        raise with_position(error, position, source) from error.__cause__


def _read_audio(source: Source, access: Access, settings: ImageSettings) -> PreparedAudio:
    data = source.read(access, settings.max_bytes, MEDIA_TYPES)
    if not data:
        raise UnusableMedia("it is empty.", next_step="Give a WAV or MP3 file.")
    if not is_audio(data):
        raise UnusableMedia(
            "it is neither WAV nor MP3, the audio formats that Ollama takes.",
            next_step="Convert it (`ffmpeg -i FILE audio.wav`) and give that.",
        )
    audio_format = "WAV" if data[:4] == b"RIFF" else "MP3"
    return PreparedAudio(base64.b64encode(data).decode("ascii"), source.display_name, audio_format, len(data))
