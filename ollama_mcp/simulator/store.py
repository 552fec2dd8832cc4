"""What is on the simulated server's disk: models, their manifests, and blobs known by their SHA-256."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.gguf import Header
from ollama_mcp.formats.names import ModelName, parse_name
from ollama_mcp.simulator.cards import Card
from ollama_mcp.simulator.encoding import Object, encode

BLOB_FOLDER = "/usr/share/ollama/.ollama/models/blobs/sha256-"
DEFAULT_TEMPLATE = "{{ .Prompt }}"


def digest_of(data: bytes) -> str:
    """The digest of a blob, "sha256:" and 64 hex digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Layer:
    """A blob in a manifest, and what it is there for: "model", "template", "params", ..."""

    kind: str
    digest: str
    size: int

    @classmethod
    def of(cls, kind: str, data: bytes) -> Layer:
        """The layer that holds some bytes."""
        return cls(kind, digest_of(data), len(data))


@dataclass(frozen=True)
class Model:
    """An installed model. Values are never changed: a new state is a new Model."""

    name: ModelName
    header: Header
    weights: Layer
    template: str = ""
    system: str = ""
    parameters: Object = field(default_factory=dict[str, Any])
    licenses: tuple[str, ...] = ()
    messages: tuple[Object, ...] = ()
    parent: str = ""
    declared: tuple[str, ...] = ()
    levels: tuple[bool | str, ...] = ()
    quantization: str = ""
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of the manifest, weights first, in the order in which Ollama writes them."""
        texts = [("template", self.template.encode())] if self.template else []
        if self.system:
            texts.append(("system", self.system.encode()))
        texts += [("license", text.encode()) for text in self.licenses]
        if self.parameters:
            texts.append(("params", encode(dict(sorted(self.parameters.items()))) + b"\n"))
        if self.messages:
            texts.append(("messages", encode(list(self.messages)) + b"\n"))
        return (self.weights, *(Layer.of(kind, data) for kind, data in texts))

    @cached_property
    def config(self) -> Layer:
        """The layer that describes the model to Ollama."""
        return Layer.of(
            "config", encode({"model_family": self.family, "layers": [layer.digest for layer in self.layers]})
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest, 64 hex digits without prefix, as listings have it."""
        parts = [*self.layers, self.config]
        return hashlib.sha256(encode([[part.kind, part.digest, part.size] for part in parts])).hexdigest()

    @cached_property
    def size(self) -> int:
        """Bytes of all layers and the config."""
        return sum(layer.size for layer in self.layers) + self.config.size

    @property
    def family(self) -> str:
        return self.header.architecture

    @cached_property
    def quantization_level(self) -> str:
        """Such as "Q4_K_M"; "unknown" where the file does not say, or says 0, which Ollama takes for no answer."""
        if self.quantization or self.header.metadata.get("general.file_type") == 0:
            return self.quantization or "unknown"
        return self.header.quantization or "unknown"

    @cached_property
    def parameter_size(self) -> str:
        """The number of parameters as Ollama shortens it: "64K", "1.47M", "3.2B"."""
        count = self.header.parameter_count
        for unit, scale, digits in (("T", 1e12, 1), ("B", 1e9, 1), ("M", 1e6, 2), ("K", 1e3, 0)):
            if count >= scale:
                return f"{count / scale:.{digits}f}{unit}"
        return str(count)

    def renamed(self, name: ModelName) -> Model:
        """The same model under another name, as of now."""
        # A copy has the same manifest and so the same digest.
        return replace(self, name=name, modified=datetime.now(UTC))


class Store:
    """Models by name without regard to case, and blobs by digest.

    Of a blob that was uploaded only the beginning is kept, where the header of a model stands.
    """

    def __init__(self) -> None:
        self.models: dict[str, Model] = {}
        self.blobs: dict[str, int] = {}
        self.beginnings: dict[str, bytes] = {}

    def keep(self, layer: Layer, beginning: bytes = b"") -> None:
        """Write a blob."""
        self.blobs[layer.digest] = layer.size
        if beginning:
            self.beginnings[layer.digest] = beginning

    def install(self, card: Card) -> Model:
        """A model of the library, as if it had been pulled long ago."""
        model = model_of(card)
        self.put(model)
        return model

    def put(self, model: Model) -> None:
        """Write a model and its blobs; an older one of that name is replaced, its casing stays."""
        # The casing that came first stays on disk.
        older = self.models.get(model.name.key)
        self.models[model.name.key] = replace(model, name=older.name) if older else model
        for layer in (*model.layers, model.config):
            self.blobs.setdefault(layer.digest, layer.size)

    def find(self, name: str) -> Model | None:
        """The model of a name in any casing; None if it is not installed or is no name."""
        return self.models.get(_key(name))

    def remove(self, model: Model) -> None:
        """Delete a model and the blobs that no other model has."""
        del self.models[model.name.key]
        kept = {layer.digest for other in self.models.values() for layer in (*other.layers, other.config)}
        for layer in (*model.layers, model.config):
            if layer.digest not in kept:
                self.blobs.pop(layer.digest, None)
                self.beginnings.pop(layer.digest, None)

    def listed(self) -> list[Model]:
        """All models, the last modified first."""
        return sorted(self.models.values(), key=lambda model: model.modified, reverse=True)


@lru_cache(maxsize=4096)
def _key(name: str) -> str:
    try:
        return parse_name(name).key
    except InvalidArgument:
        return ""


def model_of(card: Card) -> Model:
    """A card as a model, its digests made from its name."""
    weights = Layer("model", digest_of(card.name.encode()), card.size)
    speaks = "completion" in card.capabilities
    return Model(
        name=parse_name(card.name),
        header=card.header,
        weights=weights,
        template=card.template,
        parameters={"stop": ["<|im_start|>", "<|im_end|>"]} if speaks else {},
        licenses=(card.license,),
        declared=card.capabilities,
        levels=card.levels,
    )
