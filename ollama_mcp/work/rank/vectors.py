"""Vectors of a corpus in memory: from the store where they are kept, else from the model."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ollama_mcp.errors import BadAnswer

if TYPE_CHECKING:
    from ollama_mcp.store import Embeddings
    from ollama_mcp.work.rank.corpus import Corpus

BYTES_OF_NUMBER = 4
KEPT_BYTES = 512_000_000
# Asked of the store at a time: what came is put in its place before more comes.
_PAGE = 4_096


@dataclass(slots=True)
class Vectors:
    """Vectors of length one, a row each, one after the other: 32-bit floats, little-endian.

    Attributes:
        dimensions: Numbers of a vector.
        rows: The hash of each row's text.
        data: The numbers.
        halved: Hashes of texts that the model found too long, in the order in which shorter ones took their place.
    """

    dimensions: int
    rows: list[bytes] = field(default_factory=list[bytes])
    data: bytearray = field(default_factory=bytearray)
    halved: list[bytes] = field(default_factory=list[bytes])

    def add(self, hashed: bytes, vector: bytes) -> None:
        """Add a row.

        Raises:
            BadAnswer: It has another length than the others.
        """
        if len(vector) != self.dimensions * BYTES_OF_NUMBER:
            count = len(vector) // BYTES_OF_NUMBER
            raise BadAnswer(
                f"Vectors of one model have {self.dimensions} and {count} numbers.",
                next_step="Its host may be changing it; try again.",
            )
        self.rows.append(hashed)
        self.data += vector


async def take_kept(
    embeddings: Embeddings, space: str, corpus: Corpus, hashes: Sequence[bytes], into: Vectors
) -> list[bytes]:
    """Take from the store what is kept, and return the hashes of what is not.

    A text that was found too long is kept with no numbers: shorter ones take its place without asking the model again.
    """
    missing: list[bytes] = []
    waiting = list(hashes)
    while waiting:
        page, waiting = waiting[:_PAGE], waiting[_PAGE:]
        found = await embeddings.get(space, page)
        waiting += await asyncio.to_thread(_placed, found, page, corpus, into, missing)
    return missing


def _placed(
    found: Mapping[bytes, bytes], page: Sequence[bytes], corpus: Corpus, into: Vectors, missing: list[bytes]
) -> list[bytes]:
    """Put what was found in its place; return the hashes of shorter texts, to be looked for too."""
    shorter: list[bytes] = []
    for hashed in page:
        vector = found.get(hashed)
        if vector is None:
            missing.append(hashed)
        elif vector:
            into.add(hashed, vector)
        else:
            into.halved.append(hashed)
            shorter += corpus.halve([hashed])
    return shorter


class Kept:
    """The vectors of the last corpora, so that the next query on them needs not even the store.

    They are found by a hash of all passages: another client that has not read the same texts finds nothing.

    Args:
        most: Bytes of all together.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()

    def get(self, key: bytes) -> Vectors | None:
        """Return the vectors of a corpus."""
        found = self._vectors.get(key)
        if found is not None:
            self._vectors.move_to_end(key)
        return found

    def put(self, key: bytes, vectors: Vectors) -> None:
        """Keep the vectors of a corpus, and let go of those not used for longest."""
        self._vectors[key] = vectors
        while sum(len(one.data) for one in self._vectors.values()) > self._most:
            self._vectors.popitem(last=False)
