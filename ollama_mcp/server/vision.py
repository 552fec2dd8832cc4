"""Images on their way to a model: the model is asked whether it sees, then the pixels are made ready."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ollama_mcp.errors import NotAllowed, Unsupported
from ollama_mcp.formats.names import parse_name
from ollama_mcp.hosts.cards import capabilities_of
from ollama_mcp.media import prepare_images

if TYPE_CHECKING:
    from ollama_mcp.server.call import Call


async def prepare(call: Call, sources: Sequence[str], model: str, notes: list[str]) -> list[str]:
    """Images as base64 that Ollama takes; a receipt for each goes into `notes`.

    Raises:
        OllamaMCPError: The model cannot see, or an image cannot be used; it says which one and why.
    """
    await _check_model(call, model)
    prepared = await prepare_images(sources, access=call.access, settings=call.settings.images, model=model)
    notes += [image.receipt for image in prepared]
    return [image.base64 for image in prepared]


async def _check_model(call: Call, model: str) -> None:
    """Servers before v0.30 ignore images in silence, so the card is asked first; and pictures stay at home."""
    card = await call.hosts.card(model)
    if (card.remote_host or parse_name(model).is_cloud) and call.settings.policy.cloud_images == "deny":
        raise NotAllowed(
            f"{model} runs on ollama.com, and images are not sent there.",
            next_step="Use a local model with 'vision', or the user sets policy.cloud_images to 'allow'.",
        )
    able = capabilities_of(card)
    if "vision" not in able:
        raise Unsupported(
            f"{model} cannot see images; it has: {', '.join(able) or 'no capability that is known'}.",
            model=model,
            detail="does not support vision",
        )
