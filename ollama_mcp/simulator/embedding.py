"""Embeddings by feature hashing: texts that share words or letter groups get vectors that point the same way."""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache

_WORD = re.compile(r"\w+")
_SPREAD = 6


def embed(text: str, size: int) -> list[float]:
    """The vector of a text, `size` single-precision numbers, of length one."""
    vector = [0.0] * size
    for feature, weight in _features(text.lower()):
        for index, sign in _places(feature, size):
            vector[index] += sign * weight
    return normalised(vector)


def normalised(vector: list[float]) -> list[float]:
    """The vector scaled to length one and rounded to single precision; a zero vector stays."""
    length = math.sqrt(math.fsum(value * value for value in vector)) or 1.0
    packed = struct.pack(f"{len(vector)}f", *(value / length for value in vector))
    return [float(f"{value:.8g}") for value in struct.unpack(f"{len(vector)}f", packed)]


def _features(text: str) -> Iterator[tuple[str, float]]:
    # A feature that every text has keeps the empty text from being the zero vector.
    yield "", 0.2
    for word in _WORD.findall(text):
        yield word, 1.0
        padded = f"^{word}$"
        for start in range(len(padded) - 2):
            yield padded[start : start + 3], 0.4


@lru_cache(maxsize=20_000)
def _places(feature: str, size: int) -> tuple[tuple[int, float], ...]:
    data = feature.encode("utf-8", "replace")
    codes = [zlib.crc32(data, seed) for seed in range(_SPREAD)]
    return tuple((code % size, 1.0 if code & 0x40000000 else -1.0) for code in codes)
