"""Reads the header of a safetensors file, with every length and offset checked.

Format: https://huggingface.co/docs/safetensors: eight bytes with the header's length, little-endian, a JSON object that
names each tensor's type, shape and offsets, then the weights without a gap. The weights are never read.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from ollama_mcp.errors import InvalidArgument

_LENGTH_SIZE = 8
# The library's own limit is 100 MB; headers of the largest models have a few MB.
MAX_HEADER_SIZE = 16 * 1024 * 1024
_BITS_PER_VALUE = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "F64": 64,
    "I64": 64,
    "U64": 64,
    "C64": 64,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """The types of the tensors by name, and the free metadata."""

    types: dict[str, str]
    metadata: dict[str, str]


def read_safetensors_header(file: BinaryIO, size: int, *, argument: str = "file") -> SafetensorsHeader:
    """Parse the header of a safetensors file.

    Args:
        file: Open for reading in binary, at its start.
        size: Bytes of the whole file; the weights must end exactly there.
        argument: What the error calls the file.

    Raises:
        InvalidArgument: Not a safetensors file, or its header does not match its contents.
    """
    header = _read_json(file, size, argument)
    metadata = _as_object(header.pop("__metadata__", {}))
    ranges: list[tuple[int, int]] = []
    types: dict[str, str] = {}
    for name, description in header.items():
        kind, begin, end = _parse_tensor(_as_object(description), name, argument)
        types[name] = kind
        ranges.append((begin, end))
    # The format allows neither gaps nor overlaps.
    at = 0
    for begin, end in sorted(ranges):
        if begin != at:
            raise _invalid_file(argument, "its tensors overlap or leave a gap")
        at = end
    if not ranges or file.tell() + at != size:
        raise _invalid_file(argument, f"its header describes {at:,} bytes of weights, it has {size - file.tell():,}")
    return SafetensorsHeader(types, {key: str(value) for key, value in metadata.items()})


def _read_json(file: BinaryIO, size: int, argument: str) -> dict[str, Any]:
    start = file.read(_LENGTH_SIZE)
    length = struct.unpack("<Q", start)[0] if len(start) == _LENGTH_SIZE else size
    if length > min(MAX_HEADER_SIZE, size - _LENGTH_SIZE):
        raise _invalid_file(argument, f"its header claims {length:,} bytes, more than it can contain")
    text = file.read(length)
    try:
        header: Any = json.loads(text) if text.startswith(b"{") else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise _invalid_file(argument, "its header is not a JSON object")
    return cast("dict[str, Any]", header)


def _parse_tensor(description: dict[str, Any], name: str, argument: str) -> tuple[str, int, int]:
    """A tensor's type, and the offsets where its bytes begin and end."""
    kind = description.get("dtype")
    shape, offsets = _as_integers(description.get("shape")), _as_integers(description.get("data_offsets"))
    if (
        not isinstance(kind, str)
        or kind not in _BITS_PER_VALUE
        or shape is None
        or offsets is None
        or len(offsets) != 2
    ):
        raise _invalid_file(argument, f"tensor {name[:60]!r} has no known type, shape and offsets")
    begin, end = offsets
    if end - begin != -(-math.prod(shape) * _BITS_PER_VALUE[kind] // 8):
        raise _invalid_file(argument, f"tensor {name[:60]!r} has a size that does not match its shape")
    return kind, begin, end


def _as_integers(value: Any) -> list[int] | None:
    """A list of non-negative integers; None for anything else."""
    if not isinstance(value, list):
        return None
    items = cast("list[Any]", value)
    # Not isinstance: true and false are ints to Python.
    return items if all(type(item) is int and item >= 0 for item in items) else None


def _as_object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _invalid_file(argument: str, reason: str) -> InvalidArgument:
    return InvalidArgument(
        f"{argument} is not a safetensors file that Ollama can read: {reason}.",
        next_step="If it is an interrupted download or a Git LFS pointer, download it again.",
    )
