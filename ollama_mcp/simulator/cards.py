"""The models that the simulator has or can pull: names and sizes as in Ollama's library, nothing behind them."""

from __future__ import annotations

from dataclasses import dataclass

from ollama_mcp.formats.gguf import Header, Tensor

CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
_TOOLS = "{{ if .Tools }}<tools>{{ .Tools }}</tools>{{ end }}"
_THINKING = "{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}"
_SUFFIX = "{{ if .Suffix }}<|fim_prefix|>{{ .Prompt }}<|fim_suffix|>{{ .Suffix }}<|fim_middle|>{{ end }}"

_LICENSE = "Simulated licence: this model is a description without weights; do with it what you like."
_QUANTIZED = {"F32": 0, "F16": 1, "Q8_0": 7, "Q4_K_M": 15, "MXFP4": 38}


@dataclass(frozen=True, slots=True)
class Card:
    """A model in the words of its listing."""

    name: str
    family: str
    parameters: float
    size: int
    context: int
    embedding: int
    capabilities: tuple[str, ...] = ("completion",)
    quantization: str = "Q4_K_M"
    levels: tuple[bool | str, ...] = ()

    @property
    def template(self) -> str:
        """A Go template that speaks of what the model can do."""
        # A template that speaks of chats would make it a chat model.
        if "completion" not in self.capabilities:
            return "{{ .Prompt }}"
        parts = (("tools", _TOOLS), ("thinking", _THINKING), ("insert", _SUFFIX))
        return "".join(text for capability, text in parts if capability in self.capabilities) + CHATML

    @property
    def license(self) -> str:
        """The licence text of the model."""
        return _LICENSE

    @property
    def header(self) -> Header:
        """A GGUF header as such a model would have it."""
        family = self.family
        metadata: dict[str, object] = {
            "general.architecture": family,
            "general.file_type": _QUANTIZED[self.quantization],
            "general.parameter_count": int(self.parameters),
            "general.quantization_version": 2,
            f"{family}.block_count": 28,
            f"{family}.context_length": self.context,
            f"{family}.embedding_length": self.embedding,
            f"{family}.attention.head_count": 24,
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "<simulated>", "\u2581the"],
        }
        # This key is how Ollama tells an embedding model.
        if "embedding" in self.capabilities:
            metadata[f"{family}.pooling_type"] = 1
        if "vision" in self.capabilities:
            metadata[f"{family}.vision.block_count"] = 27
        tensors = (
            Tensor("output_norm.weight", "F32", (self.embedding,)),
            Tensor("token_embd.weight", "Q6_K" if self.quantization == "Q4_K_M" else "F16", (self.embedding, 32000)),
        )
        return Header(metadata, tensors)


_CHAT = ("completion", "tools")
_THINKER = ("completion", "tools", "thinking")
_HEARER = ("completion", "tools", "thinking", "vision", "audio")
_LEVELS = ("low", "medium", "high")

CARDS = (
    Card("llama3.2:3b", "llama", 3.21e9, 2_019_393_189, 131_072, 3072, _CHAT),
    Card("qwen3:4b", "qwen3", 4.02e9, 2_497_293_931, 262_144, 2560, _THINKER, levels=(False, True)),
    Card("gemma3:4b", "gemma3", 4.30e9, 3_338_801_804, 131_072, 2560, ("completion", "vision")),
    Card("nomic-embed-text:latest", "nomic-bert", 1.37e8, 274_302_450, 2048, 768, ("embedding",), "F16"),
    Card("nimble:latest", "nimble", 1.7e9, 1_080_000_000, 32_768, 2048, ("decision",)),
    Card("clef:latest", "clef", 4.3e9, 3_120_000_000, 32_768, 2560, ("decision", "vision")),
    Card("llama3.2:1b", "llama", 1.24e9, 1_321_098_329, 131_072, 2048, _CHAT, "Q8_0"),
    Card("llama3.2:latest", "llama", 3.21e9, 2_019_393_189, 131_072, 3072, _CHAT),
    Card("llama3.1:8b", "llama", 8.03e9, 4_920_753_328, 131_072, 4096, _CHAT),
    Card("llama3.3:70b", "llama", 7.06e10, 42_520_413_916, 131_072, 8192, _CHAT),
    Card("qwen3:0.6b", "qwen3", 7.52e8, 522_653_767, 40_960, 1024, _THINKER, levels=(False, True)),
    Card("qwen3:8b", "qwen3", 8.19e9, 5_225_388_164, 40_960, 4096, _THINKER, levels=(False, True)),
    Card("qwen2.5-coder:1.5b", "qwen2", 1.54e9, 986_062_089, 32_768, 1536, ("completion", "tools", "insert")),
    Card("gpt-oss:20b", "gptoss", 2.09e10, 13_793_441_244, 131_072, 2880, _THINKER, "MXFP4", _LEVELS),
    Card("gemma2:2b", "gemma2", 2.61e9, 1_629_518_495, 8192, 2304),
    Card("gemma4:e4b", "gemma4", 8.0e9, 9_608_350_718, 131_072, 2560, _HEARER, levels=(False, True)),
    Card("llava:7b", "llama", 7.24e9, 4_733_363_377, 32_768, 4096, ("completion", "vision")),
    Card("all-minilm:latest", "bert", 2.26e7, 45_960_996, 512, 384, ("embedding",), "F16"),
    Card("mxbai-embed-large:latest", "bert", 3.34e8, 669_615_493, 512, 1024, ("embedding",), "F16"),
    Card("smollm2:135m", "llama", 1.35e8, 270_898_672, 8192, 576, _CHAT, "F16"),
)
REGISTRY = {card.name: card for card in CARDS}

# What runs on ollama.com.
CLOUD = (
    Card("gpt-oss:20b", "gptoss", 2.09e10, 13_793_441_244, 131_072, 2880, _THINKER, "MXFP4", _LEVELS),
    Card("gpt-oss:120b", "gptoss", 1.17e11, 65_290_000_000, 131_072, 2880, _THINKER, "MXFP4", _LEVELS),
    Card("qwen3-coder:480b", "qwen3moe", 4.8e11, 510_000_000_000, 262_144, 6144, _CHAT, "Q8_0"),
    Card("kimi-k2.6:latest", "kimi", 1.0e12, 595_000_000_000, 262_144, 7168, (*_THINKER, "vision"), "Q8_0"),
)

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
    "decision": "nimble:latest",
    "decision-vision": "clef:latest",
}
INSTALLED = ("llama3.2:3b", "qwen3:4b", "gemma3:4b", "nomic-embed-text:latest")


def card_of(name: str) -> Card:
    """The card of a model by its name or by what it is for ("chat", "thinking", "vision", "audio", "embed", "decision",
    ...).

    Raises:
        ValueError: The simulator knows no such model.
    """
    wanted = KINDS.get(name, name)
    card = REGISTRY.get(wanted) or REGISTRY.get(f"{wanted}:latest")
    if card is None:
        raise ValueError(f"The simulator has no model {name!r}; it has {', '.join([*KINDS, *REGISTRY])}.")
    return card
