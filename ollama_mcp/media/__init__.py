"""Images, sounds and documents, read through `ollama_mcp.access` and made into what a model takes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ollama_mcp.media.audio import PreparedAudio as PreparedAudio
    from ollama_mcp.media.audio import prepare_audio as prepare_audio
    from ollama_mcp.media.extract import Extract as Extract
    from ollama_mcp.media.extract import extract_text as extract_text
    from ollama_mcp.media.extract import kind_of as kind_of
    from ollama_mcp.media.images import prepare_images as prepare_images
    from ollama_mcp.media.prepared import PreparedImage as PreparedImage
    from ollama_mcp.media.texts import NotText as NotText
    from ollama_mcp.media.texts import Text as Text
    from ollama_mcp.media.texts import decode_text as decode_text

_HOMES = {
    "Extract": "extract",
    "NotText": "texts",
    "PreparedAudio": "audio",
    "PreparedImage": "prepared",
    "Text": "texts",
    "decode_text": "texts",
    "extract_text": "extract",
    "kind_of": "extract",
    "prepare_audio": "audio",
    "prepare_images": "images",
}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]  # names resolved by __getattr__


def __getattr__(name: str) -> Any:
    # Lazy, since a document's own process imports from this package too and should be there at once.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
