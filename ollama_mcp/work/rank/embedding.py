"""Asking the model for vectors: some requests at once, what is new goes to the store as it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ollama_mcp.errors import ContextOverflow, TooLong, UnsupportedByVersion
from ollama_mcp.formats.durations import shown_seconds
from ollama_mcp.work.embedding import embed, pack
from ollama_mcp.work.rank.corpus import SHORTEST, hash_of
from ollama_mcp.work.rank.vectors import take_kept

if TYPE_CHECKING:
    from ollama_mcp.work.context import CallContext
    from ollama_mcp.work.rank.corpus import Corpus
    from ollama_mcp.work.rank.vectors import Vectors


class Embedder:
    """Embeds with one model.

    Args:
        call: The context of the call.
        model: The model.
        space: Where its vectors are kept.

    Attributes:
        embedded: Passages that the model was asked for.
    """

    def __init__(self, call: CallContext, model: str, space: str) -> None:
        self._kit, self._model, self._space = call, model, space
        self._truncate: bool | None = False
        self._total, self._began = 0, 0.0
        self.embedded = 0

    async def query(self, sent: str) -> bytes:
        """Return the vector of a query, with its prefix; it is kept like any other.

        Raises:
            OllamaMCPError: It is too long, or the host or the model fails.
        """
        hashed = hash_of(sent)
        kept = (await self._kit.store.embeddings.get(self._space, [hashed])).get(hashed)
        if kept:
            return kept
        try:
            (vector,) = await self._ask([sent])
        except ContextOverflow as error:
            raise TooLong(f"The query is too long for {self._model}.", next_step="Give a shorter one.") from error
        await self._kit.store.embeddings.put(self._space, [(hashed, vector)])
        return vector

    async def fill(self, corpus: Corpus, into: Vectors) -> None:
        """Bring together the vectors of a corpus; passages that are too long for the model become shorter ones.

        Raises:
            OllamaMCPError: The host or the model fails; what was embedded is kept.
        """
        self._began = time.monotonic()
        missing = await take_kept(self._kit.store.embeddings, self._space, corpus, list(corpus.texts), into)
        while missing:
            self._total = self.embedded + len(missing)
            too_long = await self._embed(corpus, missing, into)
            into.halved += too_long
            pieces = await asyncio.to_thread(corpus.halve, too_long)
            missing = await take_kept(self._kit.store.embeddings, self._space, corpus, pieces, into)

    async def _embed(self, corpus: Corpus, hashes: Sequence[bytes], into: Vectors) -> list[bytes]:
        """Embed passages; return those that are too long, in their order."""
        size = self._kit.settings.limits.embed_chunk
        chunks = iter([hashes[start : start + size] for start in range(0, len(hashes), size)])
        too_long: set[bytes] = set()

        async def lane() -> None:
            for chunk in chunks:
                too_long.update(await self._chunk(corpus, chunk, into))

        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(self._kit.settings.work.parallel):
                    lanes.create_task(lane())
        except BaseExceptionGroup as failed:
            # One of them failed; the others were cancelled.
            raise failed.exceptions[0] from None
        return [hashed for hashed in hashes if hashed in too_long]

    async def _chunk(self, corpus: Corpus, hashes: Sequence[bytes], into: Vectors) -> list[bytes]:
        """Embed passages in one request; where one of them is too long, in several."""
        texts = [corpus.sent(hashed) for hashed in hashes]
        of_files = [text for text, hashed in zip(texts, hashes, strict=True) if corpus.is_from_file(hashed)]
        try:
            vectors = await self._ask(texts, of_files)
        except ContextOverflow:
            if len(hashes) > 1:
                middle = len(hashes) // 2
                first = await self._chunk(corpus, hashes[:middle], into)
                return first + await self._chunk(corpus, hashes[middle:], into)
            if len(corpus.texts[hashes[0]]) <= SHORTEST:
                raise
            await self._kit.store.embeddings.put(self._space, [(hashes[0], b"")])
            return list(hashes)
        for hashed, vector in zip(hashes, vectors, strict=True):
            into.add(hashed, vector)
        await self._kit.store.embeddings.put(self._space, zip(hashes, vectors, strict=True))
        self.embedded += len(hashes)
        await self._kit.progress.update(self.embedded, self._how_far, total=self._total)
        return []

    def _how_far(self) -> str:
        rate = self.embedded / max(time.monotonic() - self._began, 1e-9)
        left = shown_seconds((self._total - self.embedded) / rate)
        return f"embedded {self.embedded:,} of {self._total:,} passages, {rate:.3g}/s, {left} left"

    async def _ask(self, texts: list[str], of_files: Sequence[str] = ()) -> list[bytes]:
        try:
            answer = await embed(self._kit, self._model, texts, truncate=self._truncate, of_files=of_files)
        except UnsupportedByVersion:
            # Before v0.2.6 nothing but silently cutting was known.
            self._truncate = None
            answer = await embed(self._kit, self._model, texts, truncate=self._truncate, of_files=of_files)
        return await asyncio.to_thread(pack, answer.embeddings, self._model, unit=True)
