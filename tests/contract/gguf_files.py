"""Small GGUF files that replace the large ones of recorded models."""

from __future__ import annotations

import struct
from pathlib import Path

FIXTURES = Path(__file__).parent.parent / "fixtures"

Value = str | int | bool | float | list[str]


def gguf(metadata: dict[str, Value], tensors: dict[str, tuple[int, ...]] | None = None) -> bytes:
    """A GGUF file, version 3, with F32 tensors of zeros."""
    shapes = tensors or {"output_norm.weight": (8,)}
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(shapes), len(metadata))
    head += b"".join(_text(key) + _value(value) for key, value in metadata.items())
    offset = 0
    for name, shape in shapes.items():
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += -(-4 * _product(shape) // 32) * 32
    return head + bytes(-len(head) % 32) + bytes(offset)


def language_model(context: int = 512, template: str = "", file_type: int = 0) -> bytes:
    """A llama model like those of the recordings."""
    metadata: dict[str, Value] = {
        "general.architecture": "llama",
        "general.file_type": file_type,
        "llama.context_length": context,
        "llama.embedding_length": 64,
        "llama.block_count": 1,
        "llama.feed_forward_length": 128,
        "llama.attention.head_count": 4,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>"],
        "tokenizer.ggml.scores": ["0"],
        "tokenizer.ggml.token_type": ["2"],
    }
    if file_type:
        metadata["tokenizer.ggml.eos_token_id"] = 2
    return gguf(metadata | ({"tokenizer.chat_template": template} if template else {}))


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for part in shape:
        total *= part
    return total


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Value) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<IQ", 10, value)
        case float():
            return struct.pack("<Id", 12, value)
        case str():
            return struct.pack("<I", 8) + _text(value)
        case list():
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(_text(item) for item in value)
