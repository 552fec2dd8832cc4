"""Images and sounds, read through `ollama_mcp.access` and made into what a model takes."""

from ollama_mcp.media.audio import PreparedAudio, prepare_audio
from ollama_mcp.media.images import prepare_images
from ollama_mcp.media.prepared import PreparedImage

__all__ = ["PreparedAudio", "PreparedImage", "prepare_audio", "prepare_images"]
