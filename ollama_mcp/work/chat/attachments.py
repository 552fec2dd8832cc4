"""Prepares images and sounds for a model, after its card says that it takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ollama_mcp import media
from ollama_mcp.errors import Unsupported
from ollama_mcp.hosts.model_cards import capabilities_of
from ollama_mcp.work.cloud_policy import check_cloud_policy

if TYPE_CHECKING:
    from ollama_mcp.work.call_context import CallContext

_LACKS = {"vision": "cannot see images", "audio": "cannot hear"}


async def prepare_images(call: CallContext, sources: Sequence[str], model: str, notes: list[str]) -> list[str]:
    """Images as base64 that Ollama takes; a receipt for each goes into `notes`.

    Raises:
        OllamaMCPError: The model cannot see, or an image cannot be used; it says which one and why.
    """
    await _check_model(call, model, "vision")
    prepared = await media.prepare_images(sources, access=call.access, settings=call.settings.images, model=model)
    notes += [image.receipt for image in prepared]
    return [image.base64 for image in prepared]


async def prepare_audio(call: CallContext, sources: Sequence[str], model: str, notes: list[str]) -> list[str]:
    """Sounds as base64 that Ollama takes beside images; a receipt for each goes into `notes`.

    Raises:
        OllamaMCPError: The model cannot hear, or a sound cannot be used; it says which one and why.
    """
    await _check_model(call, model, "audio")
    prepared = await media.prepare_audio(sources, access=call.access, settings=call.settings.images)
    notes += [sound.receipt for sound in prepared]
    return [sound.base64 for sound in prepared]


async def _check_model(call: CallContext, model: str, capability: str) -> None:
    """Servers before v0.30 ignore images in silence, so the card is asked first; and pictures stay at home."""
    await check_cloud_policy(call, model, "cloud_images")
    card = await call.hosts.card(model)
    able = capabilities_of(card)
    if capability not in able:
        raise Unsupported(
            f"{model} {_LACKS[capability]}; it has: {', '.join(able) or 'no capability that is known'}.",
            model=model,
            detail=f"does not support {capability}",
        )
