"""Images, audio and documents, read through `ollama_mcp.access` and converted to what a model takes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ollama_mcp.media.audio import PreparedAudio as PreparedAudio
    from ollama_mcp.media.audio import prepare_audio as prepare_audio
    from ollama_mcp.media.file_types import file_kind as file_kind
    from ollama_mcp.media.image_conversion import PreparedImage as PreparedImage
    from ollama_mcp.media.images import prepare_images as prepare_images
    from ollama_mcp.media.text import DecodedText as DecodedText
    from ollama_mcp.media.text import ExtractedText as ExtractedText
    from ollama_mcp.media.text import NotText as NotText
    from ollama_mcp.media.text import decode_text as decode_text
    from ollama_mcp.media.text import extract_text as extract_text

_MODULES = {
    "DecodedText": "text",
    "ExtractedText": "text",
    "NotText": "text",
    "PreparedAudio": "audio",
    "PreparedImage": "image_conversion",
    "decode_text": "text",
    "extract_text": "text",
    "file_kind": "file_types",
    "prepare_audio": "audio",
    "prepare_images": "images",
}
__all__ = list(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]  # names resolved by __getattr__


def __getattr__(name: str) -> Any:
    # Lazy: the child process of a document imports this package too, and its start is part of every conversion.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
