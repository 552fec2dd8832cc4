"""What a model's card says, in the form that tools want it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.options import check_options

if TYPE_CHECKING:
    from ollama_mcp.api import ModelCard

_BLOB_PATH = re.compile(r"(?mi)^((?:FROM|ADAPTER)\s+).*[/\\]blobs[/\\]sha256[-:][0-9a-f]{64}\s*$")
_BIG_ITEMS = 32


@dataclass(frozen=True, slots=True)
class ThinkLevels:
    """Values that `think` takes; `values` is None where the server does not say."""

    values: list[bool | str] | None
    thinks: bool

    @property
    def lowest(self) -> bool | str | None:
        """What keeps a model from thinking as far as it can be kept; None for one that does not think."""
        if not self.thinks:
            return None
        if not self.values or False in self.values:
            return False
        return next((value for value in ("low", "medium") if value in self.values), None)


def capabilities_of(card: ModelCard) -> list[str]:
    """The model's capabilities; worked out from its files where the server is older than v0.6.4."""
    if card.capabilities is not None:
        return card.capabilities
    if any(key.endswith(".pooling_type") for key in card.model_info):
        return ["embedding"]
    found = ["completion"]
    found += ["tools"] if ".Tools" in card.template else []
    found += ["insert"] if ".Suffix" in card.template else []
    has_eyes = card.projector_info or any(".vision." in key for key in card.model_info)
    return found + (["vision"] if has_eyes else [])


def think_levels(card: ModelCard) -> ThinkLevels:
    """How the model may be told to think."""
    thinks = "thinking" in capabilities_of(card) or (card.thinking is not None and any(card.thinking.values))
    return ThinkLevels(card.thinking.values if card.thinking is not None else None, thinks)


def default_options(card: ModelCard) -> dict[str, Any]:
    """The options built into the model, from the text lines that `show` gives, in the types that `options` takes."""
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
    """An option's value in its type; as text where this Ollama knows an option that we do not."""
    try:
        return check_options({name: value})[name]
    except InvalidArgument:
        return value


def part_of(card: ModelCard, part: str, *, model: str, verbose: bool = False) -> Any:
    """A part of the card in full; no path of the host's disk, and no token tables unless `verbose`."""
    if part == "modelfile":
        return _BLOB_PATH.sub(rf"\g<1>{model}", card.modelfile)
    if part == "model_info":
        return {key: value for key, value in card.model_info.items() if verbose or not _is_big(value)}
    if part == "tensors":
        return card.tensors if verbose else f"{len(card.tensors)} tensors; verbose=true lists them"
    return getattr(card, part)


def _is_big(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) > _BIG_ITEMS)  # pyright: ignore[reportUnknownArgumentType]
