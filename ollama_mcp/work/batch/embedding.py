"""A vector of each row, a few dozen rows in a request."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ollama_mcp.errors import BadAnswer, OllamaMCPError
from ollama_mcp.formats.names import parse_name
from ollama_mcp.formats.options import split_options
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.work.batch.order import Order
from ollama_mcp.work.batch.rows import Row, Source
from ollama_mcp.work.batch.template import Template
from ollama_mcp.work.batch.workers import HOST_FAILURES, Done, Material, failed

if TYPE_CHECKING:
    from ollama_mcp.api import EmbedResponse
    from ollama_mcp.work.kit import Kit


class Embedding:
    """Turns rows into vectors: 32-bit floats, little-endian.

    Args:
        kit: What is at hand.
        order: What was asked for.
        source: Where the rows come from.
        model: The model.

    Raises:
        InvalidArgument: The template names what the input does not have, or nothing.
    """

    def __init__(self, kit: Kit, order: Order, source: Source, model: str) -> None:
        self._kit, self._order, self._model = kit, order, model
        self._template = Template(order.prompt or "{text}", source.columns, bare=True)
        self._material = Material(kit, source)
        self._from_files = source.from_files
        self.size = kit.settings.limits.embed_chunk

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
            answer = await self._ask([text for _, text in texts])
        except OllamaMCPError as error:
            if len(texts) == 1 or isinstance(error, HOST_FAILURES):
                return [failed(row, error) for row, _ in texts]
            failed(texts[0][0], error)
            return [done for one in texts for done in await self._embedded([one])]
        read = (answer.prompt_eval_count or 0) // len(texts)
        return [
            Done(row, struct.pack(f"<{len(vector)}f", *vector), tokens=(read, 0))
            for (row, _), vector in zip(texts, answer.embeddings, strict=True)
        ]

    async def _ask(self, texts: list[str]) -> EmbedResponse:
        from ollama_mcp.api import EmbedRequest

        kit = self._kit
        plain, beside = split_options(kit.settings.defaults.options, self._order.options)
        request = EmbedRequest(
            model=self._model,
            input=texts,
            # A text that is too long is an error of its row, not a vector of its beginning.
            truncate=beside.get("truncate", False),
            options=plain or None,
            keep_alive=kit.keep_alive(None),
        )
        with kit.in_use.using(self._model):
            answer = await kit.client.embed(request)
        if any(not vector for vector in answer.embeddings):
            raise BadAnswer("A text got a vector without numbers.", model=self._model)
        kit.store.usage.count(
            self._model,
            cloud=parse_name(self._model).is_cloud,
            prompt_tokens=answer.prompt_eval_count or 0,
            tokens=0,
            file_tokens=sum(map(estimate_tokens, texts)) if self._from_files else 0,
            seconds=answer.total_seconds or 0.0,
        )
        return answer
