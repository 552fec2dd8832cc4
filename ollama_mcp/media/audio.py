"""Sounds from anywhere, as the models that hear take them: WAV and MP3, unchanged."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ollama_mcp.access import Access
from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.media.anatomy import UnusableMedia
from ollama_mcp.media.gate import gate
from ollama_mcp.media.images import placed
from ollama_mcp.media.sources import Source, is_sound, source_of
from ollama_mcp.settings.access import ImageSettings

KINDS = ("audio/",)


@dataclass(frozen=True, slots=True)
class PreparedAudio:
    """One sound as it goes into the `images` field of Ollama's API, which takes sounds too.

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
    """Return sounds that Ollama takes, in the order of their sources; the limits are those of images.

    Args:
        sources: As for `prepare_images`; files are read where images are.
        access: What this client may read and fetch.
        settings: Limits of size and number.

    Raises:
        InvalidArgument: Too many or too large together, or one is neither WAV nor MP3; it says which one and why.
        NotAllowed: One may not be read or fetched.
        DiskError: One could not be read.
    """
    if len(sources) > settings.max_count:
        raise InvalidArgument(
            f"{len(sources)} sounds were given; at most {settings.max_count} go into one call "
            "(setting images.max_count).",
            next_step="Send fewer, or raise the setting.",
        )
    prepared: list[PreparedAudio] = []
    left = settings.max_bytes
    for number, text in enumerate(sources, start=1):
        prepared.append(await _prepare(text, f"audio {number} of {len(sources)}", access, settings))
        # Sounds go as they came: unlike images, each keeps its size until the answer is there.
        left -= prepared[-1].bytes
        if left < 0:
            raise InvalidArgument(
                f"The first {number} sounds are together larger than {settings.max_bytes / 1e6:g} MB "
                "(setting images.max_bytes).",
                next_step="Send fewer or shorter ones.",
            )
    return prepared


async def _prepare(text: str, place: str, access: Access, settings: ImageSettings) -> PreparedAudio:
    source: Source | None = None
    try:
        source = source_of(text, sound=True)
        if source.kind == "url":
            source = replace(source, fetched=await access.fetch(source.text))
        chosen = source
        return await gate().run(lambda: _checked(chosen, access, settings))
    except OllamaMCPError as error:
        raise placed(error, place, source) from error.__cause__


def _checked(source: Source, access: Access, settings: ImageSettings) -> PreparedAudio:
    data = source.read(access, settings.max_bytes, KINDS)
    if not data:
        raise UnusableMedia("it is empty.", next_step="Give a WAV or MP3 file.")
    if not is_sound(data):
        raise UnusableMedia(
            "it is neither WAV nor MP3, the sounds that Ollama takes.",
            next_step="Convert it (`ffmpeg -i FILE sound.wav`) and give that.",
        )
    form = "WAV" if data[:4] == b"RIFF" else "MP3"
    return PreparedAudio(base64.b64encode(data).decode("ascii"), source.shown, form, len(data))
