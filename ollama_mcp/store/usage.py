"""Counts of calls, tokens and seconds by model. They never leave the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.store.writes import WriteBehind, transaction

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

_READ = "SELECT model, cloud, calls, prompt_tokens, tokens, file_tokens, seconds FROM usage"
# Differences are added, so that the counts of several processes add up.
_ADD = """INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (model, cloud) DO UPDATE SET
    calls = usage.calls + excluded.calls, prompt_tokens = usage.prompt_tokens + excluded.prompt_tokens,
    tokens = usage.tokens + excluded.tokens, file_tokens = usage.file_tokens + excluded.file_tokens,
    seconds = usage.seconds + excluded.seconds"""

# Clients choose names and their spelling; what is kept of them must not grow for ever.
MAX_MODELS = 256
OTHER_MODELS = "(other models)"

_Counts = dict[tuple[str, bool], "UsageRow"]


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The counts of one model.

    Attributes:
        model: Its name.
        cloud: Whether it runs on ollama.com.
        calls: Answers that it gave.
        prompt_tokens: Tokens that it read.
        tokens: Tokens that it wrote.
        file_tokens: Those of `prompt_tokens` that came from files, which the agent never saw.
        seconds: Time that the answers took.
    """

    model: str
    cloud: bool
    calls: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    file_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: UsageRow) -> UsageRow:
        return UsageRow(
            self.model,
            self.cloud,
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.tokens + other.tokens,
            self.file_tokens + other.file_tokens,
            self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """Counts of a period: a row for each model, the one that wrote most first. Those of ollama.com stand apart."""

    local: tuple[UsageRow, ...] = ()
    cloud: tuple[UsageRow, ...] = ()

    @property
    def local_total(self) -> UsageRow:
        """The sum of all local models, in a row without a name."""
        return sum(self.local, UsageRow("", False))

    @property
    def cloud_total(self) -> UsageRow:
        """The sum of all models on ollama.com, in a row without a name."""
        return sum(self.cloud, UsageRow("", True))


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """Counts of this run of the server, and of all runs with the same store; empty if counting is off."""

    enabled: bool
    session: UsageSummary
    all_time: UsageSummary


class UsageCounter:
    """Counts calls. Counting takes microseconds; the file is written some moments later.

    Args:
        database: Where the counts are kept.
        enabled: Whether anything is counted.

    Attributes:
        listener: Told the tokens of each answer, whether they are counted here or not.
    """

    def __init__(self, database: Database, *, enabled: bool) -> None:
        self.enabled = enabled
        self.listener: Callable[[int], None] | None = None
        self._database = database
        self._session: _Counts = {}
        self._pending: _Counts = {}
        self._writer = WriteBehind(self._write)

    def count(
        self, model: str, *, cloud: bool, prompt_tokens: int, tokens: int, file_tokens: int, seconds: float
    ) -> None:
        """Count one answer of a model; call it in the event loop."""
        if self.listener is not None:
            self.listener(prompt_tokens + tokens)
        if not self.enabled:
            return
        if len(self._session) >= MAX_MODELS and (model, cloud) not in self._session:
            model = OTHER_MODELS
        key, row = (model, cloud), UsageRow(model, cloud, 1, prompt_tokens, tokens, file_tokens, seconds)
        for counts in (self._session, self._pending):
            counts[key] = counts[key] + row if key in counts else row
        if self._writer.timer is None:
            self._writer.schedule()

    async def totals(self) -> UsageTotals:
        """Return the counts of this run and of all time."""
        if not self.enabled:
            return UsageTotals(False, UsageSummary(), UsageSummary())
        await self._writer.flush()
        all_time: _Counts = {}
        _add(all_time, await self._database.run_or_default(_read, []))
        # What could not be written, or was counted during the read.
        _add(all_time, self._pending.values())
        return UsageTotals(True, _summary(self._session), _summary(all_time))

    async def aclose(self) -> None:
        """Write the last counts."""
        await self._writer.flush()

    async def _write(self) -> None:
        pending, self._pending = self._pending, {}
        rows = list(pending.values())
        # Counts that could not be written wait for the next time.
        if rows and not await self._database.run_or_default(lambda connection: _put(connection, rows), False):
            _add(self._pending, rows)


def _add(counts: _Counts, rows: Iterable[UsageRow]) -> None:
    for row in rows:
        key = row.model, row.cloud
        known = counts.get(key)
        counts[key] = row if known is None else known + row


def _summary(counts: _Counts) -> UsageSummary:
    merged: dict[tuple[str, bool], UsageRow] = {}
    for row in _by_activity(counts.values()):
        # A model has many spellings (`llama3.2`, `Llama3.2:latest`); the busiest one names it.
        key = _model_key(row.model), row.cloud
        merged[key] = merged[key] + row if key in merged else row
    rows = _by_activity(merged.values())
    return UsageSummary(tuple(row for row in rows if not row.cloud), tuple(row for row in rows if row.cloud))


def _by_activity(rows: Iterable[UsageRow]) -> list[UsageRow]:
    return sorted(rows, key=lambda row: (-row.tokens, -row.calls, row.model))


def _model_key(model: str) -> str:
    try:
        return parse_name(model).key
    except InvalidArgument:
        return model


def _read(connection: Connection) -> list[UsageRow]:
    return [UsageRow(model, bool(cloud), *counts) for model, cloud, *counts in connection.execute(_READ)]


def _put(connection: Connection, rows: list[UsageRow]) -> bool:
    values = [
        (row.model, row.cloud, row.calls, row.prompt_tokens, row.tokens, row.file_tokens, row.seconds) for row in rows
    ]
    with transaction(connection):
        # In one order everywhere, so that two processes never wait for each other's rows.
        connection.executemany(_ADD, sorted(values))
    return True
