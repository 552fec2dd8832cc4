"""The header of a GGUF file: what it says about the model, read with every count and offset checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its name, its type ("F16", "Q4_K", ...) and its dimensions."""

    name: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """What stands before the weights: key-value metadata and the list of tensors."""

    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...] = ()
    parameter_count: int = field(default=0)

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    def number(self, key: str) -> int:
        """An integer of the architecture's own keys, such as "context_length"; 0 where there is none."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) else 0
