"""Reads the header of a GGUF file, which describes the model, with every count and offset checked.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian. The weights are
never read; a file that claims more than it contains is refused before anything is allocated for it.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

from ollama_mcp.errors import InvalidArgument

MAGIC = b"GGUF"
_MAX_ENTRIES = 65_536
_MAX_STRING = 16 * 1024 * 1024
_MAX_DIMENSIONS = 4
_MAX_NESTING = 4
_MAX_ALIGNMENT = 65_536
_CHUNK = 1024 * 1024

# Value types of the metadata: struct format of the scalars; 8 is a string, 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

# ggml's tensor types: name, values in a block, bytes of a block.
_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    39: ("MXFP4", 32, 17),
}
# Ollama's names of general.file_type (llama.cpp's llama_ftype).
FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    32: "BF16",
    38: "MXFP4",
}


@dataclass(frozen=True, slots=True)
class GGUFTensor:
    """One tensor: its name, its type ("F16", "Q4_K", ...) and its dimensions."""

    name: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class GGUFHeader:
    """What precedes the weights: key-value metadata and the list of tensors."""

    metadata: dict[str, Any]
    tensors: tuple[GGUFTensor, ...] = ()

    @property
    def architecture(self) -> str:
        """Such as "llama" or "bert"; "" where the file names none."""
        return str(self.metadata.get("general.architecture", ""))

    @cached_property
    def parameter_count(self) -> int:
        """The number of weights: as the metadata states it, else counted over the listed tensors."""
        stated = self.metadata.get("general.parameter_count")
        return stated if isinstance(stated, int) else sum(math.prod(tensor.shape) for tensor in self.tensors)

    @property
    def quantization(self) -> str:
        """Such as "Q4_K_M"; "" where the file names none."""
        kind = self.metadata.get("general.file_type")
        return FILE_TYPES.get(kind, "") if isinstance(kind, int) else ""

    @property
    def chat_template(self) -> str:
        """The Jinja template in the file; "" if it has none."""
        return str(self.metadata.get("tokenizer.chat_template", ""))

    @property
    def is_embedding(self) -> bool:
        """Whether it is an embedding model: only those pool their tokens."""
        return f"{self.architecture}.pooling_type" in self.metadata

    @property
    def part(self) -> tuple[int, int]:
        """The part of a split model that the file is, from 0, and the number of parts; (0, 1) for a whole model."""
        number, count = self.metadata.get("split.no"), self.metadata.get("split.count")
        return (number, count) if isinstance(number, int) and isinstance(count, int) else (0, 1)

    def number(self, key: str) -> int:
        """An integer of the architecture's own keys, such as "context_length"; 0 where there is none."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) else 0


def read_gguf_header(file: BinaryIO, size: int, *, longest_array: int = 1024, argument: str = "file") -> GGUFHeader:
    """Parse the header of a GGUF file.

    Args:
        file: Open for reading in binary, at its start.
        size: Bytes of the whole file, against which all counts and offsets are checked.
        longest_array: Metadata arrays with more elements (token lists) become None.
        argument: Name of the argument in the error text.

    Raises:
        InvalidArgument: Not a GGUF file, a truncated one, or one that claims more than it contains.
    """
    return _Reader(file, size, longest_array, argument).header()


class _Reader:
    """Reads a header from start to end; every error names the argument."""

    def __init__(self, file: BinaryIO, size: int, longest_array: int, argument: str) -> None:
        self._file, self._size, self._argument = file, size, argument
        self._longest_array = longest_array
        self._offset = 0

    def header(self) -> GGUFHeader:
        if self._read(4, "its magic number") != MAGIC:
            raise self._error("it does not begin with 'GGUF'")
        version = self._scalar("I")
        if version not in (2, 3):
            raise self._error(f"its version is {version}, only 2 and 3 are supported")
        # `least`: name length, dimensions, type and offset of a tensor; key length, type and value of an entry.
        tensors = self._count("Q", "tensors", least=8 + 4 + 4 + 8)
        entries = self._count("Q", "metadata entries", least=8 + 4 + 1)
        metadata: dict[str, Any] = {}
        for _ in range(entries):
            key = self._string("a metadata key")
            metadata[key] = self._value(self._scalar("I"), key, 0)
        # The further parts of a split model name their position in it and nothing else.
        if not isinstance(metadata.get("general.architecture"), str) and "split.no" not in metadata:
            raise self._error("it names no architecture")
        found = [self._tensor() for _ in range(tensors)]
        self._check_data(found, metadata.get("general.alignment", 32))
        return GGUFHeader(metadata, tuple(tensor for tensor, _, _ in found))

    def _tensor(self) -> tuple[GGUFTensor, int, int]:
        """A tensor, the offset of its data, and their size in bytes."""
        name = self._string("a tensor's name")
        count = self._scalar("I")
        if count > _MAX_DIMENSIONS:
            raise self._error(f"tensor {name[:60]!r} has {count} dimensions, at most {_MAX_DIMENSIONS} are supported")
        shape = tuple(self._scalar("Q") for _ in range(count))
        kind, offset = self._scalar("I"), self._scalar("Q")
        if kind not in _TYPES:
            raise self._error(f"tensor {name[:60]!r} has the unknown type {kind}")
        label, block, width = _TYPES[kind]
        # -(-a // b) rounds up: the last block may be partly filled.
        return GGUFTensor(name, label, shape), offset, -(-math.prod(shape) // block) * width

    def _check_data(self, tensors: list[tuple[GGUFTensor, int, int]], alignment: Any) -> None:
        if not isinstance(alignment, int) or not 0 < alignment <= _MAX_ALIGNMENT:
            raise self._error(f"its alignment is {alignment!r}")
        # The weights begin at the next multiple of the alignment.
        start = -(-self._offset // alignment) * alignment
        for tensor, offset, length in tensors:
            if start + offset + length > self._size:
                raise self._error(f"tensor {tensor.name[:60]!r} ends beyond the end of the file")

    def _value(self, kind: int, key: str, depth: int) -> Any:
        if kind == _STRING:
            return self._string(f"the value of {key[:60]!r}")
        if kind == _ARRAY:
            return self._array(key, depth)
        if kind not in _SCALARS:
            raise self._error(f"{key[:60]!r} has the unknown value type {kind}")
        return self._scalar(_SCALARS[kind])

    def _array(self, key: str, depth: int) -> list[Any] | None:
        if depth >= _MAX_NESTING:
            raise self._error(f"{key[:60]!r} nests arrays deeper than {_MAX_NESTING}")
        kind = self._scalar("I")
        # Strings and arrays begin with a length of 8 bytes.
        width = struct.calcsize(f"<{_SCALARS[kind]}") if kind in _SCALARS else 8
        count = self._count("Q", f"elements of {key[:60]!r}", least=width, most=self._size)
        if count > self._longest_array:
            return self._skip_array(kind, key, depth, count)
        if kind in _SCALARS:
            return list(struct.unpack(f"<{count}{_SCALARS[kind]}", self._read(count * width, key[:60])))
        return [self._value(kind, key, depth + 1) for _ in range(count)]

    def _skip_array(self, kind: int, key: str, depth: int, count: int) -> None:
        """Read past an array without keeping it, so that it takes no memory, however long it claims to be."""
        if kind not in _SCALARS:
            for _ in range(count):
                self._value(kind, key, depth + 1)
            return
        left = count * struct.calcsize(f"<{_SCALARS[kind]}")
        while left:
            left -= len(self._read(min(left, _CHUNK), key[:60]))

    def _count(self, kind: str, what: str, *, least: int, most: int = _MAX_ENTRIES) -> int:
        count = self._scalar(kind)
        if count > most or count * least > self._size - self._offset:
            raise self._error(f"it claims {count:,} {what}, more than it can contain")
        return count

    def _string(self, what: str) -> str:
        length = self._scalar("Q")
        if length > min(_MAX_STRING, self._size - self._offset):
            raise self._error(f"{what} claims {length:,} bytes, more than the file can contain")
        return self._read(length, what).decode("utf-8", "replace")

    def _scalar(self, kind: str) -> Any:
        return struct.unpack(f"<{kind}", self._read(struct.calcsize(f"<{kind}"), "a number"))[0]

    def _read(self, count: int, what: str) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise self._error(f"it is truncated at byte {self._offset + len(data):,}, in {what}")
        self._offset += count
        return data

    def _error(self, reason: str) -> InvalidArgument:
        return InvalidArgument(
            f"{self._argument} is not a GGUF file that Ollama can load: {reason}.",
            next_step="Use a model file in GGUF format; repeat a download that was interrupted.",
        )
