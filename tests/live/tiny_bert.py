"""A sentence-transformers folder whose vectors can be worked out by hand.

One block whose attention and feed-forward weights are all zero: a token's vector is its embedding, normalized; the
vector of a text is the mean of them, so the order of its words does not matter.
"""

import json
import math
import random
import struct
from pathlib import Path
from typing import Any

SIZE = 32
# The special tokens have BERT's usual numbers, which llama-server takes for granted.
_UNUSED = [f"[unused{number}]" for number in range(99)]
WORDS = ["[PAD]", *_UNUSED, "[UNK]", "[CLS]", "[SEP]", "red", "cat", "sleeps", "stock", "market", "falls"]
_EPSILON = 1e-12
_NORMS = ("embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output")
_LINEAR = (
    *(f"encoder.layer.0.attention.{name}" for name in ("self.query", "self.key", "self.value", "output.dense")),
    *(f"encoder.layer.0.{name}.dense" for name in ("intermediate", "output")),
)


def expected_vector(words: list[str]) -> list[float]:
    """The vector of a text of known words, of length one."""
    rows = [_normalized(_embedding(word)) for word in ["[CLS]", *words, "[SEP]"]]
    mean = [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]
    length = math.hypot(*mean)
    return [value / length for value in mean]


def write_folder(folder: Path) -> None:
    """Write the model into a new folder."""
    (folder / "1_Pooling").mkdir(parents=True)
    layers = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    files: dict[str, Any] = {
        "config.json": {
            "architectures": ["BertModel"],
            "hidden_act": "gelu",
            "hidden_size": SIZE,
            "intermediate_size": SIZE,
            "layer_norm_eps": _EPSILON,
            "max_position_embeddings": 64,
            "num_attention_heads": 1,
            "num_hidden_layers": 1,
            "vocab_size": len(WORDS),
        },
        "modules.json": [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in layers],
        "1_Pooling/config.json": {"word_embedding_dimension": SIZE, "pooling_mode_mean_tokens": True},
        "tokenizer_config.json": {**special, "do_lower_case": True, "tokenizer_class": "BertTokenizer"},
        "tokenizer.json": {
            "added_tokens": [{"id": WORDS.index(word), "content": word, "special": True} for word in special.values()],
            "model": {"type": "WordPiece", "vocab": {word: number for number, word in enumerate(WORDS)}},
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "model.safetensors").write_bytes(_weights())


def _embedding(word: str) -> list[float]:
    numbers = random.Random(word)
    return [numbers.uniform(-1, 1) for _ in range(SIZE)]


def _normalized(vector: list[float]) -> list[float]:
    mean = math.fsum(vector) / SIZE
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in vector) / SIZE + _EPSILON)
    return [(value - mean) / deviation for value in vector]


def _weights() -> bytes:
    tensors: dict[str, tuple[list[int], list[float]]] = {
        "embeddings.word_embeddings.weight": ([len(WORDS), SIZE], [x for word in WORDS for x in _embedding(word)]),
        "embeddings.position_embeddings.weight": ([64, SIZE], [0.0] * 64 * SIZE),
        "embeddings.token_type_embeddings.weight": ([2, SIZE], [0.0] * 2 * SIZE),
    }
    for name in _NORMS:
        tensors[f"{name}.LayerNorm.weight"] = [SIZE], [1.0] * SIZE
        tensors[f"{name}.LayerNorm.bias"] = [SIZE], [0.0] * SIZE
    for name in _LINEAR:
        tensors[f"{name}.weight"] = [SIZE, SIZE], [0.0] * SIZE * SIZE
        tensors[f"{name}.bias"] = [SIZE], [0.0] * SIZE
    header: dict[str, Any] = {}
    data = b""
    for name, (shape, values) in tensors.items():
        packed = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
