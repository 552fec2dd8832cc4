"""Working on the rows of a batch elsewhere: the interface to processes that share the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ollama_mcp.store import BatchRun
    from ollama_mcp.work.batch.pool import BatchProgress
    from ollama_mcp.work.batch.processors import RowProcessor
    from ollama_mcp.work.batch.rows import RowSource
    from ollama_mcp.work.batch.spec import BatchSpec
    from ollama_mcp.work.call_context import CallContext


@dataclass(frozen=True, slots=True)
class RowsToDo:
    """A batch whose rows are to be worked on.

    Args:
        call: The context of its call.
        spec: Its arguments.
        source: Its rows.
        processor: What works on them here; has checked that they can be worked on.
        checkpoint: Keeps what they come to.
        progress: Counts them.
        digest: The model's digest, or "".
        total: Rows of the input.
    """

    call: CallContext
    spec: BatchSpec
    source: RowSource
    processor: RowProcessor
    checkpoint: BatchRun
    progress: BatchProgress
    digest: str
    total: int


class Workers(Protocol):
    """Other processes that take rows."""

    async def work_on(self, batch: RowsToDo) -> list[str] | None:
        """Have rows worked on, and return when no more can be done elsewhere; those left have no record.

        Returns:
            Notes; None where nobody takes any.

        Raises:
            OllamaMCPError: Every row would meet it; what was done is kept.
        """
        ...
