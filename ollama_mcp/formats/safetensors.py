"""The header of a safetensors file, read with every length and offset checked.

Format: https://huggingface.co/docs/safetensors: eight bytes with the header's length, little-endian, a JSON object that
names each tensor's type, shape and place, then the weights without a gap. The weights are never read.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from ollama_mcp.errors import InvalidArgument

_LENGTH = 8
# The library's own limit is 100 MB; headers of the largest models have a few.
MAX_HEADER = 16 * 1024 * 1024
_BITS = {
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
class Tensors:
    """What a header says: the tensors' types by their names, and the free metadata."""

    types: dict[str, str]
    metadata: dict[str, str]


def read_tensors(file: BinaryIO, size: int, *, argument: str = "file") -> Tensors:
    """The header of a safetensors file.

    Args:
        file: Open for reading in binary, at its start.
        size: Bytes of the whole file; the weights must end exactly there.
        argument: What the error calls the file.

    Raises:
        InvalidArgument: It is no safetensors file, or its header promises other than what it holds.
    """
    header = _header(file, size, argument)
    metadata = _object(header.pop("__metadata__", {}))
    places: list[tuple[int, int]] = []
    types: dict[str, str] = {}
    for name, described in header.items():
        kind, begin, end = _tensor(_object(described), name, argument)
        types[name] = kind
        places.append((begin, end))
    at = 0
    for begin, end in sorted(places):
        if begin != at:
            raise _broken(argument, "its tensors overlap or leave a gap")
        at = end
    if not places or file.tell() + at != size:
        raise _broken(argument, f"its header tells of {at:,} bytes of weights, it has {size - file.tell():,}")
    return Tensors(types, {key: str(value) for key, value in metadata.items()})


def _header(file: BinaryIO, size: int, argument: str) -> dict[str, Any]:
    start = file.read(_LENGTH)
    length = struct.unpack("<Q", start)[0] if len(start) == _LENGTH else size
    if length > min(MAX_HEADER, size - _LENGTH):
        raise _broken(argument, f"its header claims {length:,} bytes, more than it can have")
    text = file.read(length)
    try:
        header: Any = json.loads(text) if text.startswith(b"{") else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise _broken(argument, "its header is no JSON object")
    return cast("dict[str, Any]", header)


def _tensor(described: dict[str, Any], name: str, argument: str) -> tuple[str, int, int]:
    """A tensor's type, and where its bytes begin and end."""
    kind, shape, place = described.get("dtype"), _whole(described.get("shape")), _whole(described.get("data_offsets"))
    if not isinstance(kind, str) or kind not in _BITS or shape is None or place is None or len(place) != 2:
        raise _broken(argument, f"tensor {name[:60]!r} has no type, shape and place that are known")
    begin, end = place
    if end - begin != -(-math.prod(shape) * _BITS[kind] // 8):
        raise _broken(argument, f"tensor {name[:60]!r} has another number of bytes than its shape")
    return kind, begin, end


def _whole(value: Any) -> list[int] | None:
    """A list of whole numbers from 0 on; None for anything else."""
    if not isinstance(value, list):
        return None
    items = cast("list[Any]", value)
    return items if all(type(item) is int and item >= 0 for item in items) else None


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _broken(argument: str, why: str) -> InvalidArgument:
    return InvalidArgument(
        f"{argument} is no safetensors file that Ollama could read: {why}.",
        next_step="A download that broke off, or a Git LFS pointer, has to be fetched again.",
    )
