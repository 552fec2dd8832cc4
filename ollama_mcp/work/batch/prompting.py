"""A prompt for each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ollama_mcp.errors import BadAnswer, OllamaMCPError
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.work.answers import MISSING
from ollama_mcp.work.batch.order import Order
from ollama_mcp.work.batch.rows import MOST_LEVELS, Record, Row, Source, is_too_deep
from ollama_mcp.work.batch.template import Template
from ollama_mcp.work.batch.workers import Done, Material, failed

if TYPE_CHECKING:
    from ollama_mcp.work.context import CallContext


class Prompting:
    """Fills a template with each row and asks the model.

    Args:
        call: The context of the call.
        order: What was asked for.
        source: Where the rows come from.
        model: The model.

    Raises:
        InvalidArgument: The template names what the input does not have.
    """

    size = 1

    def __init__(self, call: CallContext, order: Order, source: Source, model: str) -> None:
        self._kit, self._order, self._model = call, order, model
        self._template = Template(order.prompt, source.columns)
        self._material = Material(call, source)
        self._from_files = source.from_files

    async def work(self, rows: Sequence[Row]) -> list[Done]:
        """See `Worker`."""
        return [await self._one(row) for row in rows]

    async def _one(self, row: Row) -> Done:
        try:
            row, images = await self._material.of(row)
            return await self._asked(row, images)
        except OllamaMCPError as error:
            return failed(row, error)

    async def _asked(self, row: Row, images: list[str]) -> Done:
        from ollama_mcp.api import ChatRequest, Message
        from ollama_mcp.work.inference import Wish, answer, prepare

        order = self._order
        prompt = self._template.fill(row, append=not images)
        wish = Wish(
            "chat",
            self._model,
            order.format,
            order.think,
            order.options,
            images=images,
            way_out="Shorten the row, or name a model with a longer context.",
            file_tokens=estimate_tokens(row.text) if self._from_files and not images else 0,
        )
        prepared = await prepare(self._kit, wish, [order.system, prompt])
        turns = [Message(role="system", content=order.system)] if order.system else []
        turns.append(Message(role="user", content=prompt, images=prepared.images or None))
        keep_alive = self._kit.keep_alive(None)
        request = ChatRequest(model=prepared.model, messages=turns, keep_alive=keep_alive, **prepared.fields)
        result = await answer(self._kit, request, prepared, quiet=True)
        # What was noted before the model answered is the same for each row.
        notes = tuple(note for note in result.notes if note not in prepared.notes)
        tokens = int(result.usage.get("prompt_tokens", 0)), int(result.usage.get("tokens", 0))
        output = result.text if result.value is MISSING else result.value
        if is_too_deep(output):
            raise BadAnswer(f"The answer is nested deeper than {MOST_LEVELS} levels.", model=prepared.model)
        return Done(row, Record(output, notes, *tokens).encode(), tokens=tokens)
