"""Reads a model's card, the response of `show`: capabilities, thinking, default options, single sections."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.options import check_options

if TYPE_CHECKING:
    from ollama_mcp.api import ModelCard

_BLOB_PATH = re.compile(r"(?mi)^((?:FROM|ADAPTER)\s+).*[/\\]blobs[/\\]sha256[-:][0-9a-f]{64}\s*$")
_MAX_LIST_ITEMS = 32


@dataclass(frozen=True, slots=True)
class ThinkingSupport:
    """Whether a model thinks, and the values that `think` takes; None where the server does not say."""

    values: list[bool | str] | None
    supported: bool

    @property
    def lowest(self) -> bool | str | None:
        """The value that makes a model think least; None for one that does not think."""
        if not self.supported:
            return None
        if not self.values or False in self.values:
            return False
        return next((value for value in ("low", "medium") if value in self.values), None)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a list of models shows of each model's card; the lengths are None where the card lacks them."""

    capabilities: list[str]
    context_length: int | None = None
    embedding_length: int | None = None


def capabilities_of(card: ModelCard) -> list[str]:
    """The model's capabilities; derived from its template and metadata where the server is older than v0.6.4."""
    if card.capabilities is not None:
        return card.capabilities
    if any(key.endswith(".pooling_type") for key in card.model_info):
        return ["embedding"]
    found = ["completion"]
    found += ["tools"] if ".Tools" in card.template else []
    found += ["insert"] if ".Suffix" in card.template else []
    has_vision = card.projector_info or any(".vision." in key for key in card.model_info)
    return found + (["vision"] if has_vision else [])


def thinking_support(card: ModelCard) -> ThinkingSupport:
    """Whether the model thinks, and how it may be told to."""
    thinks = "thinking" in capabilities_of(card) or (card.thinking is not None and any(card.thinking.values))
    return ThinkingSupport(card.thinking.values if card.thinking is not None else None, thinks)


def default_options(card: ModelCard) -> dict[str, Any]:
    """The options built into the model, from the text lines of `show`, converted to the types that `options` takes."""
    options: dict[str, Any] = {}
    for line in card.parameters.splitlines():
        name, _, value = line.strip().partition(" ")
        plain = value.strip().strip('"')
        if name == "stop":
            options[name] = [*options.get(name, []), plain]
        elif name:
            options[name] = _typed(name, plain)
    return options


def _typed(name: str, value: str) -> Any:
    """An option's value in its type; as text where the host knows an option that this server does not."""
    try:
        return check_options({name: value})[name]
    except InvalidArgument:
        return value


def card_section(card: ModelCard, section: str, *, model: str, verbose: bool = False) -> Any:
    """A section of the card in full, without paths on the host's disk, and without token tables unless `verbose`."""
    if section == "modelfile":
        return _BLOB_PATH.sub(rf"\g<1>{model}", card.modelfile)
    if section == "model_info":
        return {key: value for key, value in card.model_info.items() if verbose or not _is_large(value)}
    if section == "tensors":
        return card.tensors if verbose else f"{len(card.tensors)} tensors; verbose=true lists them"
    return getattr(card, section)


def _is_large(value: Any) -> bool:
    # Unless asked to be verbose, the server itself sends null for token tables.
    return value is None or (isinstance(value, list) and len(value) > _MAX_LIST_ITEMS)  # pyright: ignore[reportUnknownArgumentType]
