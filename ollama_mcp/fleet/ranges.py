"""A range on its way: its rows and what is to be done with them as JSON, and its checkpoint at the worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ollama_mcp import __version__
from ollama_mcp.errors import InternalError, OllamaMCPError
from ollama_mcp.fleet import tables
from ollama_mcp.fleet.sweep import ALONE
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL, LOCAL
from ollama_mcp.store.batches import BatchRun, RowResult
from ollama_mcp.work.batch.rows import InputRow
from ollama_mcp.work.batch.spec import BatchSpec
from ollama_mcp.work.decide.questions import ClosedQuestion

# Its class is told by name, and has to be known.
from ollama_mcp.work.model_watch import ModelReplaced as ModelReplaced

if TYPE_CHECKING:
    from ollama_mcp.fleet.tables import Range
    from ollama_mcp.settings import Settings
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.patient import PatientDatabase
    from ollama_mcp.work.batch.elsewhere import RowsToDo

# With the model and its digest they make the same row of the same input on any machine.
_DECISIVE: dict[str, Any] = {
    "defaults": {"options", "keep_alive"},
    "limits": {"num_ctx", "prompt_bytes", "questions", "embed_chunk"},
    "policy": {"num_ctx", "num_predict"},
}
# So many rows share a write, or those of so many seconds.
_GROUP_ROWS, _GROUP_SECONDS = 32, 0.1
_OWN = ("input", "output", "overwrite", "limit", "chunk_chars", "cascade", "suffixes")


def encode_rows(rows: Sequence[InputRow]) -> bytes:
    """Rows as JSON; in ASCII, since a text may hold what UTF-8 does not take."""
    return json.dumps([(row.number, row.location, row.columns, row.problem) for row in rows]).encode()


def decode_rows(data: bytes) -> list[InputRow]:
    """The rows of `encode_rows`."""
    return [InputRow(*row) for row in json.loads(data)]


@dataclass(frozen=True)
class RunTask:
    """What is to be done with each row of a run.

    Args:
        spec: The arguments of the batch that concern a row; its model is the one that was chosen.
        digest: The model's digest, or "".
        columns: What a template may name.
        is_table: See `RowSource`.
        from_files: See `RowSource`.
        total: Rows of the input.
        settings: The settings of its server by section, as far as they decide what becomes of a row.
        who: Whose batch it is: the name of a token, or "local".
        is_limited: Whether there is a limit to the tokens that these may use in a day.
        version: The version of its server.
    """

    spec: BatchSpec
    digest: str
    columns: tuple[str, ...]
    is_table: bool
    from_files: bool
    total: int
    settings: dict[str, dict[str, Any]]
    who: str
    is_limited: bool
    version: str = __version__

    @classmethod
    def of(cls, batch: RowsToDo) -> RunTask:
        """The task of a batch."""
        model, source = batch.processor.model, batch.source
        kept = replace(batch.spec, model=model, input=())
        given = batch.call.settings.model_dump(mode="json", include=_DECISIVE)
        principal = CURRENT_PRINCIPAL.get()
        return cls(
            *(kept, batch.digest, tuple(source.columns), source.is_table, source.from_files, batch.total),
            settings=given,
            who=LOCAL if principal is None else principal.name,
            is_limited=principal is not None and principal.limits.tokens_per_day > 0,
        )

    def settings_from(self, own: Settings) -> Settings:
        """The settings of a worker, with those of the run's server where they decide what becomes of a row."""
        sections = {name: getattr(own, name).model_copy(update=given) for name, given in self.settings.items()}
        return own.model_copy(update=sections)

    def encode(self) -> str:
        """As JSON, the same for the same task."""
        spec = {one.name: getattr(self.spec, one.name) for one in fields(BatchSpec) if one.name not in _OWN}
        spec["questions"] = [question.model_dump() for question in self.spec.questions]
        return json.dumps({**self.__dict__, "spec": spec}, sort_keys=True)

    @staticmethod
    def version_of(text: str) -> str:
        """The version of the server that encoded a task; "" for one that did not say it yet."""
        return str(json.loads(text).get("version", ""))

    @classmethod
    def decode(cls, text: str) -> RunTask:
        """The task of `encode`."""
        members: dict[str, Any] = json.loads(text)
        given = members.pop("spec")
        given["questions"] = [ClosedQuestion.model_validate(question) for question in given["questions"]]
        return cls(BatchSpec(input=(), **given), columns=tuple(members.pop("columns")), **members)


class RangeSource:
    """The rows of a range; see `RowSource`."""

    notes: Sequence[str] = ()
    fingerprint = ""

    def __init__(self, task: RunTask, rows: Sequence[InputRow], label: str) -> None:
        self.columns, self.is_table, self.from_files = task.columns, task.is_table, task.from_files
        self.label, self._rows = label, rows

    def rows(self) -> Iterator[InputRow]:
        """See `RowSource`."""
        return iter(self._rows)

    def check_unchanged(self) -> None:
        """See `RowSource`."""

    def close(self) -> None:
        """See `RowSource`."""


class RangeRun(BatchRun):
    """The checkpoint of a range: what is saved is saved under its fence, many rows at a time.

    A worker that took no other row until one is kept would write each few of them, and the store has many workers.

    Args:
        database: The database.
        part: The range.
        numbers: The numbers of its rows.
        spent: The tokens of each answer for it, and those that it cost before.

    Attributes:
        counted: How many of these were written.
    """

    def __init__(
        self, database: PatientDatabase, part: Range, numbers: Collection[int], spent: Collection[int]
    ) -> None:
        super().__init__(cast("Database", database), "", part.run, None, {}, 0, 0)
        self._part, self._spent = part, spent
        self.counted = part.spent
        self._retried = frozenset(numbers).difference(part.marked)
        self._missing = frozenset(numbers).difference(part.known)
        # One that workers died of is worked on row by row, and so it is kept.
        self._group = 0 if part.deaths >= ALONE else _GROUP_ROWS
        self._rows: list[RowResult] = []
        self._writing = 0
        self._is_due, self._is_written = asyncio.Event(), asyncio.Event()
        self._failure: Exception | None = None

    async def save(self, index: int, record: bytes, *, error: bool) -> None:
        """Have the outcome of a row saved within a moment; `settled` waits for it.

        Raises:
            DiskError: A row before could not be saved.
        """
        self._check()
        self._rows.append(RowResult(index, record, error))
        if len(self._rows) >= self._group:
            self._is_due.set()
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        # What is not saved yet is asked again where its worker dies: no more than this, and one for each task.
        if len(self._rows) + self._writing > self._group:
            self._is_written.clear()
            await self._is_written.wait()
            self._check()

    async def failures(self, *, after: int = -1, count: int = 10_000) -> list[int]:
        """Those of its own rows that failed and may be tried again; see `BatchRun`."""
        await self.settled()
        found = await super().failures(after=max(after, self._part.first - 1), count=count)
        return [row for row in found if row in self._retried]

    @property
    def to_do(self) -> int:
        """How many of its rows had no record when it was taken; nobody else writes any meanwhile."""
        return len(self._missing)

    async def missing(self, first: int, last: int) -> list[int]:
        """Those of its rows that had no record when it was taken; see `BatchRun`."""
        return [row for row in range(first, last + 1) if row in self._missing]

    async def settled(self) -> None:
        """Wait until all rows are saved.

        Raises:
            DiskError: Some could not be.
        """
        while self._writer is not None and not self._writer.done():
            self._is_due.set()
            await asyncio.wait({self._writer})
        self._check()

    async def _write(self) -> None:
        """Write while rows are waiting, once they are many or have waited for a moment; no more after a failure."""
        while self._rows:
            with suppress(TimeoutError):
                async with asyncio.timeout(_GROUP_SECONDS):
                    await self._is_due.wait()
            self._is_due.clear()
            rows, self._rows = self._rows, []
            self._writing = len(rows)
            try:
                if self._failure is None:
                    spent = sum(self._spent)
                    await self._database.run(partial(tables.save, mine=self._part.mine, rows=rows, spent=spent))
                    self.counted = spent
            except Exception as error:
                self._failure = error
            self._writing = 0
            self._is_written.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure


def reason_of(error: OllamaMCPError) -> str:
    """An error as JSON, for another process."""
    return json.dumps({"class": type(error).__name__, "message": error.message, "next_step": error.next_step})


def error_of(reason: str | None) -> OllamaMCPError:
    """The error of `reason_of`."""
    found: dict[str, str] = json.loads(reason or "{}")
    known = {one.__name__: one for one in _subclasses(OllamaMCPError)}
    made = known.get(found.get("class", ""), InternalError)
    message = found.get("message", "The run was stopped.")
    try:
        return made(message, next_step=found.get("next_step", ""))
    except TypeError:
        return InternalError(message, next_step=found.get("next_step", ""))


def _subclasses(one: type[OllamaMCPError]) -> Iterator[type[OllamaMCPError]]:
    for found in one.__subclasses__():
        yield found
        yield from _subclasses(found)
