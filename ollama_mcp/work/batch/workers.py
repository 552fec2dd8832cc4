"""What all ways of working on rows share: what came of a row, which errors are a row's own, and reading its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from ollama_mcp.errors import (
    BadAnswer,
    Busy,
    Forbidden,
    Interrupted,
    InvalidArgument,
    ModelNotFound,
    NoAnswer,
    OllamaMCPError,
    ServerError,
    Timeout,
    Unauthorized,
    Unreachable,
    Unsupported,
    UnsupportedByVersion,
)
from ollama_mcp.work.batch.rows import Record, Row, Source
from ollama_mcp.work.batch.sources import ManyFiles

if TYPE_CHECKING:
    from ollama_mcp.work.context import CallContext

# What no row is to blame for; many in a row mean that the host is gone or swamped.
HOST_FAILURES = (Unreachable, Timeout, Busy)
# What a second try may mend.
PASSING = (*HOST_FAILURES, Interrupted, ServerError, BadAnswer, NoAnswer)
# What no other row could mend.
_FATAL = (ModelNotFound, Unsupported, Unauthorized, Forbidden, UnsupportedByVersion)


@dataclass(frozen=True, slots=True)
class Done:
    """What came of one row.

    Args:
        row: The row.
        data: What is kept of it: an encoded `Record`, or the numbers of a vector.
        error: The error, where there is one.
        tokens: Tokens that were read and written.
    """

    row: Row
    data: bytes
    error: OllamaMCPError | None = None
    tokens: tuple[int, int] = (0, 0)


class Worker(Protocol):
    """Does the work on rows."""

    @property
    def size(self) -> int:
        """Rows of one request."""
        ...

    async def work(self, rows: Sequence[Row]) -> list[Done]:
        """Do it; what goes wrong with a row alone is part of what came of it.

        Raises:
            OllamaMCPError: What no other row could mend either.
        """
        ...


def failed(row: Row, error: OllamaMCPError) -> Done:
    """What came of a row that went wrong.

    Raises:
        OllamaMCPError: The error itself, where no other row could mend it.
    """
    if isinstance(error, _FATAL):
        raise error
    return Done(row, Record.of(error).encode(), error)


class Material:
    """What a row brings to the model; the files of rows are read here."""

    def __init__(self, call: CallContext, source: Source) -> None:
        self._kit, self._source = call, source

    async def of(self, row: Row) -> tuple[Row, list[str]]:
        """The row with its text, and the paths of its images.

        Raises:
            OllamaMCPError: It cannot be used; it says why.
        """
        if row.wrong:
            where = f"Line {row.place['line']}" if "line" in row.place else "The row"
            raise InvalidArgument(f"{where} cannot be used: {row.wrong}.")
        if not isinstance(self._source, ManyFiles):
            return row, []
        from ollama_mcp.work.files import read_files

        reading = await read_files(self._kit.access, [str(row.columns["path"])], self._kit.settings)
        self._source.check_file(row)
        text = "\n\n".join(document.text for document in reading.documents)
        return replace(row, columns={**row.columns, "text": text}), reading.images
