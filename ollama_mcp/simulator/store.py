"""The disk of the simulated server: models with their manifests and capabilities, and blobs by SHA-256."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.gguf import GGUFHeader
from ollama_mcp.formats.model_names import ModelName, parse_name
from ollama_mcp.simulator.go_json import Object, encode
from ollama_mcp.simulator.library import LibraryModel
from ollama_mcp.simulator.server_versions import Generation

BLOB_FOLDER = "/usr/share/ollama/.ollama/models/blobs/sha256-"
DEFAULT_TEMPLATE = "{{ .Prompt }}"


def sha256_digest(data: bytes) -> str:
    """The digest of a blob, "sha256:" and 64 hex digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Layer:
    """A blob in a manifest; `kind` is its role: "model", "template", "params", ..."""

    kind: str
    digest: str
    size: int

    @classmethod
    def from_bytes(cls, kind: str, data: bytes) -> Layer:
        """The layer for some bytes."""
        return cls(kind, sha256_digest(data), len(data))


@dataclass(frozen=True)
class StoredModel:
    """An installed model; immutable, so that a change is a new value."""

    name: ModelName
    header: GGUFHeader
    weights: Layer
    template: str = ""
    system: str = ""
    parameters: Object = field(default_factory=dict[str, Any])
    licenses: tuple[str, ...] = ()
    messages: tuple[Object, ...] = ()
    parent: str = ""
    declared_capabilities: tuple[str, ...] = ()
    think_levels: tuple[bool | str, ...] = ()
    quantization: str = ""
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of the manifest, in Ollama's order."""
        texts = [("template", self.template.encode())] if self.template else []
        if self.system:
            texts.append(("system", self.system.encode()))
        texts += [("license", text.encode()) for text in self.licenses]
        if self.parameters:
            texts.append(("params", encode(dict(sorted(self.parameters.items()))) + b"\n"))
        if self.messages:
            texts.append(("messages", encode(list(self.messages)) + b"\n"))
        return (self.weights, *(Layer.from_bytes(kind, data) for kind, data in texts))

    @cached_property
    def config(self) -> Layer:
        """The config layer, which describes the model to Ollama."""
        return Layer.from_bytes(
            "config", encode({"model_family": self.family, "layers": [layer.digest for layer in self.layers]})
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest, 64 hex digits without prefix, as in listings."""
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
        """Such as "Q4_K_M"; "unknown" if the file has no type or type 0, which Ollama treats as missing."""
        if self.quantization or self.header.metadata.get("general.file_type") == 0:
            return self.quantization or "unknown"
        return self.header.quantization or "unknown"

    @cached_property
    def parameter_size(self) -> str:
        """The number of parameters in Ollama's form: "64K", "1.47M", "3.2B"."""
        count = self.header.parameter_count
        for unit, scale, digits in (("T", 1e12, 1), ("B", 1e9, 1), ("M", 1e6, 2), ("K", 1e3, 0)):
            if count >= scale:
                return f"{count / scale:.{digits}f}{unit}"
        return str(count)

    def renamed(self, name: ModelName) -> StoredModel:
        """A copy under another name, modified now; it has the same manifest and digest."""
        return replace(self, name=name, modified=datetime.now(UTC))


class ModelStore:
    """Models by case-insensitive name, and blobs by digest.

    Only the beginning of an uploaded blob is kept, which contains the header of a model file.
    """

    def __init__(self) -> None:
        self.models: dict[str, StoredModel] = {}
        self.blobs: dict[str, int] = {}
        self.blob_heads: dict[str, bytes] = {}

    def add_blob(self, layer: Layer, head: bytes = b"") -> None:
        """Store a blob and the first bytes of its content."""
        self.blobs[layer.digest] = layer.size
        if head:
            self.blob_heads[layer.digest] = head

    def install(self, library_model: LibraryModel) -> StoredModel:
        """Add a model of the library without a pull."""
        model = from_library(library_model)
        self.add(model)
        return model

    def add(self, model: StoredModel) -> None:
        """Add a model and its blobs, replacing an older one of that name."""
        # The name keeps the case in which it was first written to disk.
        older = self.models.get(model.name.key)
        self.models[model.name.key] = replace(model, name=older.name) if older else model
        # An uploaded blob keeps its recorded size.
        for layer in (*model.layers, model.config):
            self.blobs.setdefault(layer.digest, layer.size)

    def find(self, name: str) -> StoredModel | None:
        """The model of a name in any case; None if it is not installed or not a valid name."""
        return self.models.get(_key(name))

    def remove(self, model: StoredModel) -> None:
        """Delete a model and the blobs that no other model uses."""
        del self.models[model.name.key]
        kept = {layer.digest for other in self.models.values() for layer in (*other.layers, other.config)}
        for layer in (*model.layers, model.config):
            if layer.digest not in kept:
                self.blobs.pop(layer.digest, None)
                self.blob_heads.pop(layer.digest, None)

    def listed(self) -> list[StoredModel]:
        """All models, the last modified first."""
        return sorted(self.models.values(), key=lambda model: model.modified, reverse=True)


@lru_cache(maxsize=4096)
def _key(name: str) -> str:
    try:
        return parse_name(name).key
    except InvalidArgument:
        return ""


def from_library(model: LibraryModel) -> StoredModel:
    """A model of the library as an installed one, with a digest derived from its name."""
    weights = Layer("model", sha256_digest(model.name.encode()), model.size)
    is_completion = "completion" in model.capabilities
    return StoredModel(
        name=parse_name(model.name),
        header=model.header,
        weights=weights,
        template=model.template,
        parameters={"stop": ["<|im_start|>", "<|im_end|>"]} if is_completion else {},
        licenses=(model.license,),
        declared_capabilities=model.capabilities,
        think_levels=model.think_levels,
    )


def gguf_chat_template(model: StoredModel) -> str:
    """The chat template in the GGUF file; "" if it has none."""
    return str(model.header.metadata.get("tokenizer.chat_template", ""))


def uses_native_template(model: StoredModel, generation: Generation) -> bool:
    """Whether llama-server renders chats with the template in the GGUF file, instead of Ollama with a Go template."""
    return generation.has_native_templates and not go_template(model)


def go_template(model: StoredModel) -> str:
    """The Go template of the model; "" for the default one."""
    return "" if model.template == DEFAULT_TEMPLATE else model.template


def template_syntax_error(template: str) -> str:
    """The error of Go's parser for a template with unbalanced braces; "" for any other template."""
    return "" if template.count("{{") == template.count("}}") else "template: :1: unclosed action"


def capabilities(model: StoredModel, generation: Generation, *, listing: bool = False) -> list[str]:
    """The capabilities of a model; a listing does not read the chat template in the GGUF file."""
    # The library and create declare capabilities; otherwise they are derived from the file.
    if model.declared_capabilities:
        return _supported(model.declared_capabilities, generation)
    # A pooling type, even 0, makes it an embedding model.
    if model.header.number("pooling_type") or f"{model.family}.pooling_type" in model.header.metadata:
        return ["embedding"]
    found: list[str] = []
    template, native = go_template(model), gguf_chat_template(model)
    # A Go template takes precedence over the one in the file; listings do not open the file.
    if not template and generation.has_native_templates and not listing:
        if re.search(r"tools|tool_call", native):
            found.append("tools")
        if "<think>" in native and "</think>" in native:
            found.append("thinking")
    if ".Tools" in template:
        found.append("tools")
    if ".Thinking" in template:
        found.append("thinking")
    if ".Suffix" in template:
        found.append("insert")
    if model.header.number("vision.block_count"):
        found.append("vision")
    return [*_supported(tuple(found), generation), "completion"]


def _supported(names: tuple[str, ...], generation: Generation) -> list[str]:
    """The capabilities that the generation has."""
    since_version = {
        "thinking": generation.has_thinking,
        "audio": generation.has_audio,
        "decision": generation.has_decisions,
    }
    return [name for name in names if since_version.get(name, True)]
