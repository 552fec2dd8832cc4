"""Questions about each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.work.batch.rows import Record, Row, Source
from ollama_mcp.work.batch.template import Template
from ollama_mcp.work.batch.workers import Done, Material, failed
from ollama_mcp.work.senses import see

if TYPE_CHECKING:
    from ollama_mcp.work.context import CallContext
    from ollama_mcp.work.decide import Decider


class Deciding:
    """Judges each row, as ollama_decide does.

    Args:
        call: The context of the call.
        prompt: Template of what is judged; "" for the whole input.
        source: Where the rows come from.
        decider: Judges.

    Raises:
        InvalidArgument: The template names what the input does not have, or nothing.
    """

    size = 1

    def __init__(self, call: CallContext, prompt: str, source: Source, decider: Decider) -> None:
        self._kit, self._decider = call, decider
        self._template = Template(prompt or "{text}", source.columns, bare=True)
        self._material = Material(call, source)
        self._from_files = source.from_files

    async def work(self, rows: Sequence[Row]) -> list[Done]:
        """See `Worker`."""
        return [await self._one(row) for row in rows]

    async def _one(self, row: Row) -> Done:
        try:
            row, paths = await self._material.of(row)
            images = await see(self._kit, paths, self._decider.model, []) if paths else []
            text = "" if images else self._template.fill(row)
            verdicts = await self._decider.decide(text, images, from_file=self._from_files)
        except OllamaMCPError as error:
            return failed(row, error)
        return Done(row, Record({name: verdict.as_json() for name, verdict in verdicts.items()}).encode())
