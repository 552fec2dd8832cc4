"""The models that can be installed, pulled, or run in the cloud: names and sizes as in Ollama's library, no weights."""

from __future__ import annotations

from dataclasses import dataclass

from ollama_mcp.formats.gguf import GGUFHeader, GGUFTensor

CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
_TOOLS = "{{ if .Tools }}<tools>{{ .Tools }}</tools>{{ end }}"
_THINKING = "{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}"
_SUFFIX = "{{ if .Suffix }}<|fim_prefix|>{{ .Prompt }}<|fim_suffix|>{{ .Suffix }}<|fim_middle|>{{ end }}"

_LICENSE = "Simulated licence: this model is a description without weights; do with it what you like."
# general.file_type of the GGUF format.
_FILE_TYPES = {"F32": 0, "F16": 1, "Q8_0": 7, "Q4_K_M": 15, "MXFP4": 38}


@dataclass(frozen=True, slots=True)
class LibraryModel:
    """A model of the library."""

    name: str
    family: str
    parameters: float
    size: int
    context: int
    embedding: int
    capabilities: tuple[str, ...] = ("completion",)
    quantization: str = "Q4_K_M"
    think_levels: tuple[bool | str, ...] = ()
    basename: str = ""

    @property
    def template(self) -> str:
        """A Go template with the variables from which Ollama derives the capabilities."""
        # A chat template would make it a chat model.
        if "completion" not in self.capabilities:
            return "{{ .Prompt }}"
        parts = (("tools", _TOOLS), ("thinking", _THINKING), ("insert", _SUFFIX))
        return "".join(text for capability, text in parts if capability in self.capabilities) + CHATML

    @property
    def license(self) -> str:
        """The licence text."""
        return _LICENSE

    @property
    def header(self) -> GGUFHeader:
        """A GGUF header as such a model would have it."""
        family = self.family
        metadata: dict[str, object] = {
            "general.architecture": family,
            "general.file_type": _FILE_TYPES[self.quantization],
            "general.parameter_count": int(self.parameters),
            "general.quantization_version": 2,
            f"{family}.block_count": 28,
            f"{family}.context_length": self.context,
            f"{family}.embedding_length": self.embedding,
            f"{family}.attention.head_count": 24,
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "<simulated>", "\u2581the"],
        }
        if self.basename:
            metadata["general.basename"] = self.basename
        # Ollama recognizes an embedding model by this key.
        if "embedding" in self.capabilities:
            metadata[f"{family}.pooling_type"] = 1
        if "vision" in self.capabilities:
            metadata[f"{family}.vision.block_count"] = 27
        tensors = (
            GGUFTensor("output_norm.weight", "F32", (self.embedding,)),
            GGUFTensor(
                "token_embd.weight", "Q6_K" if self.quantization == "Q4_K_M" else "F16", (self.embedding, 32000)
            ),
        )
        return GGUFHeader(metadata, tensors)


_CHAT = ("completion", "tools")
_THINKER = ("completion", "tools", "thinking")
_ANY_INPUT = ("completion", "tools", "thinking", "vision", "audio")
_THINK_LEVELS = ("low", "medium", "high")

MODELS = (
    LibraryModel("llama3.2:3b", "llama", 3.21e9, 2_019_393_189, 131_072, 3072, _CHAT),
    LibraryModel("qwen3:4b", "qwen3", 4.02e9, 2_497_293_931, 262_144, 2560, _THINKER, think_levels=(False, True)),
    LibraryModel("gemma3:4b", "gemma3", 4.30e9, 3_338_801_804, 131_072, 2560, ("completion", "vision")),
    LibraryModel("nomic-embed-text:latest", "nomic-bert", 1.37e8, 274_302_450, 2048, 768, ("embedding",), "F16"),
    LibraryModel("nimble:latest", "nimble", 1.7e9, 1_080_000_000, 32_768, 2048, ("decision",)),
    LibraryModel("clef:latest", "clef", 4.3e9, 3_120_000_000, 32_768, 2560, ("decision", "vision")),
    LibraryModel("llama3.2:1b", "llama", 1.24e9, 1_321_098_329, 131_072, 2048, _CHAT, "Q8_0"),
    LibraryModel("llama3.2:latest", "llama", 3.21e9, 2_019_393_189, 131_072, 3072, _CHAT),
    LibraryModel("llama3.1:8b", "llama", 8.03e9, 4_920_753_328, 131_072, 4096, _CHAT),
    LibraryModel("llama3.3:70b", "llama", 7.06e10, 42_520_413_916, 131_072, 8192, _CHAT),
    LibraryModel("qwen3:0.6b", "qwen3", 7.52e8, 522_653_767, 40_960, 1024, _THINKER, think_levels=(False, True)),
    LibraryModel("qwen3:8b", "qwen3", 8.19e9, 5_225_388_164, 40_960, 4096, _THINKER, think_levels=(False, True)),
    LibraryModel("qwen2.5-coder:1.5b", "qwen2", 1.54e9, 986_062_089, 32_768, 1536, ("completion", "tools", "insert")),
    LibraryModel("gpt-oss:20b", "gptoss", 2.09e10, 13_793_441_244, 131_072, 2880, _THINKER, "MXFP4", _THINK_LEVELS),
    LibraryModel("gemma2:2b", "gemma2", 2.61e9, 1_629_518_495, 8192, 2304),
    LibraryModel("gemma4:e4b", "gemma4", 8.0e9, 9_608_350_718, 131_072, 2560, _ANY_INPUT, think_levels=(False, True)),
    LibraryModel("llava:7b", "llama", 7.24e9, 4_733_363_377, 32_768, 4096, ("completion", "vision")),
    LibraryModel("all-minilm:latest", "bert", 2.26e7, 45_960_996, 512, 384, ("embedding",), "F16"),
    LibraryModel("mxbai-embed-large:latest", "bert", 3.34e8, 669_615_493, 512, 1024, ("embedding",), "F16"),
    LibraryModel("smollm2:135m", "llama", 1.35e8, 270_898_672, 8192, 576, _CHAT, "F16"),
    LibraryModel(
        "qwen3-reranker:0.6b",
        "qwen3",
        5.96e8,
        639_153_184,
        40_960,
        1024,
        quantization="Q8_0",
        basename="Qwen3-Reranker",
    ),
)
MODELS_BY_NAME = {model.name: model for model in MODELS}

# The models that run on ollama.com.
CLOUD_MODELS = (
    LibraryModel("gpt-oss:20b", "gptoss", 2.09e10, 13_793_441_244, 131_072, 2880, _THINKER, "MXFP4", _THINK_LEVELS),
    LibraryModel("gpt-oss:120b", "gptoss", 1.17e11, 65_290_000_000, 131_072, 2880, _THINKER, "MXFP4", _THINK_LEVELS),
    LibraryModel("qwen3-coder:480b", "qwen3moe", 4.8e11, 510_000_000_000, 262_144, 6144, _CHAT, "Q8_0"),
    LibraryModel("kimi-k2.6:latest", "kimi", 1.0e12, 595_000_000_000, 262_144, 7168, (*_THINKER, "vision"), "Q8_0"),
)

# The model that each kind stands for; some kinds have two names.
KINDS = {
    "chat": "llama3.2:3b",
    "tools": "llama3.2:3b",
    "thinking": "qwen3:4b",
    "think": "qwen3:4b",
    "vision": "gemma3:4b",
    "audio": "gemma4:e4b",
    "embed": "nomic-embed-text:latest",
    "embedding": "nomic-embed-text:latest",
    "plain": "gemma2:2b",
    "insert": "qwen2.5-coder:1.5b",
    "reranker": "qwen3-reranker:0.6b",
    "decision": "nimble:latest",
    "decision-vision": "clef:latest",
}
# Installed unless the caller names models.
INSTALLED = ("llama3.2:3b", "qwen3:4b", "gemma3:4b", "nomic-embed-text:latest")


def find_library_model(name: str) -> LibraryModel:
    """The model of a name or kind ("chat", "thinking", "vision", "audio", "embed", "decision", ...).

    Raises:
        ValueError: The library has no such model.
    """
    full_name = KINDS.get(name, name)
    model = MODELS_BY_NAME.get(full_name) or MODELS_BY_NAME.get(f"{full_name}:latest")
    if model is None:
        raise ValueError(f"The simulator has no model {name!r}; it has {', '.join([*KINDS, *MODELS_BY_NAME])}.")
    return model
