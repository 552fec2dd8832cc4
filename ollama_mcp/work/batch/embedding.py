"""A vector of each row, a few dozen rows in a request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.options import split_options
from ollama_mcp.work.batch.order import Order
from ollama_mcp.work.batch.rows import Row, Source
from ollama_mcp.work.batch.template import Template
from ollama_mcp.work.batch.workers import HOST_FAILURES, Done, Material, failed
from ollama_mcp.work.embedding import embed, pack

if TYPE_CHECKING:
    from ollama_mcp.api import EmbedResponse
    from ollama_mcp.work.context import CallContext


class Embedding:
    """Turns rows into vectors: 32-bit floats, little-endian.

    Args:
        call: The context of the call.
        order: What was asked for.
        source: Where the rows come from.
        model: The model.

    Raises:
        InvalidArgument: The template names what the input does not have, or nothing.
    """

    def __init__(self, call: CallContext, order: Order, source: Source, model: str) -> None:
        self._kit, self._order, self._model = call, order, model
        self._template = Template(order.prompt or "{text}", source.columns, bare=True)
        self._material = Material(call, source)
        self._from_files = source.from_files
        self.size = call.settings.limits.embed_chunk

    async def work(self, rows: Sequence[Row]) -> list[Done]:
        """See `Worker`."""
        usable: list[tuple[Row, str]] = []
        done: list[Done] = []
        for row in rows:
            try:
                usable.append((row, self._template.fill((await self._material.of(row))[0])))
            except OllamaMCPError as error:
                done.append(failed(row, error))
        return [*done, *await self._embedded(usable)]

    async def _embedded(self, texts: list[tuple[Row, str]]) -> list[Done]:
        """Vectors of texts together; where that fails for a text's sake, of each by itself."""
        if not texts:
            return []
        try:
            answer, vectors = await self._ask([text for _, text in texts])
        except OllamaMCPError as error:
            if len(texts) == 1 or isinstance(error, HOST_FAILURES):
                return [failed(row, error) for row, _ in texts]
            failed(texts[0][0], error)
            return [done for one in texts for done in await self._embedded([one])]
        # As even as it goes, so that the rows add up to what was read.
        each, more = divmod(answer.prompt_eval_count or 0, len(texts))
        return [
            Done(row, vector, tokens=(each + (place < more), 0))
            for place, ((row, _), vector) in enumerate(zip(texts, vectors, strict=True))
        ]

    async def _ask(self, texts: list[str]) -> tuple[EmbedResponse, list[bytes]]:
        options = self._order.options
        # A text that is too long is an error of its row, not a vector of its beginning.
        truncate = split_options(self._kit.settings.defaults.options, options)[1].get("truncate", False)
        of_files = texts if self._from_files else ()
        answer = await embed(self._kit, self._model, texts, truncate=truncate, options=options, of_files=of_files)
        return answer, await asyncio.to_thread(pack, answer.embeddings, self._model)
