"""What was done by which model: calls, tokens, seconds. The counts never leave the machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ollama_mcp.store.database import transaction
from ollama_mcp.store.write_behind import WriteBehind

if TYPE_CHECKING:
    from sqlite3 import Connection

    from ollama_mcp.store.database import Database

_READ = "SELECT model, cloud, calls, prompt_tokens, tokens, file_tokens, seconds FROM usage"
# Differences are added, so that what several processes count adds up.
_ADD = """INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (model, cloud) DO UPDATE SET
    calls = calls + excluded.calls, prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    tokens = tokens + excluded.tokens, file_tokens = file_tokens + excluded.file_tokens,
    seconds = seconds + excluded.seconds"""

_Counts = dict[tuple[str, bool], "UsageRow"]


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one model did.

    Attributes:
        model: Its name.
        cloud: Whether it runs on ollama.com.
        calls: Answers that it gave.
        prompt_tokens: Tokens that it read.
        tokens: Tokens that it wrote.
        file_tokens: Tokens that it read from files, which the agent never saw.
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
class Tally:
    """Counts of a span of time: a row for each model, the one that wrote most first; the cloud's apart."""

    local: tuple[UsageRow, ...] = ()
    cloud: tuple[UsageRow, ...] = ()

    @property
    def local_sum(self) -> UsageRow:
        """The local models together; the row has no name."""
        return sum(self.local, UsageRow("", False))

    @property
    def cloud_sum(self) -> UsageRow:
        """The cloud's models together; the row has no name."""
        return sum(self.cloud, UsageRow("", True))


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of this run of the server, and of all that used the same store; empty where counting is off."""

    enabled: bool
    run: Tally
    ever: Tally


class Usage:
    """Counts calls. Counting costs microseconds; the file is written some moments later.

    Args:
        database: Where the counts are kept.
        enabled: Whether anything is counted.
    """

    def __init__(self, database: Database, *, enabled: bool) -> None:
        self.enabled = enabled
        self._database = database
        self._run: _Counts = {}
        self._pending: _Counts = {}
        self._later = WriteBehind(self._write)

    def count(
        self, model: str, *, cloud: bool, prompt_tokens: int, tokens: int, file_tokens: int, seconds: float
    ) -> None:
        """Count one answer of a model; called in the event loop."""
        if not self.enabled:
            return
        row = UsageRow(model, cloud, 1, prompt_tokens, tokens, file_tokens, seconds)
        _add(self._run, [row])
        _add(self._pending, [row])
        self._later.soon()

    async def totals(self) -> Totals:
        """Return the counts of this run and of all time."""
        if not self.enabled:
            return Totals(False, Tally(), Tally())
        await self._later.now()
        ever: _Counts = {}
        _add(ever, await self._database.try_to_run(_read, []))
        _add(ever, self._pending.values())
        return Totals(True, _tally(self._run), _tally(ever))

    async def aclose(self) -> None:
        """Write the last counts."""
        await self._later.now()

    async def _write(self) -> None:
        pending, self._pending = self._pending, {}
        rows = list(pending.values())
        if rows and not await self._database.try_to_run(lambda connection: _put(connection, rows), False):
            _add(self._pending, rows)


def _add(counts: _Counts, rows: Iterable[UsageRow]) -> None:
    for row in rows:
        key = row.model, row.cloud
        known = counts.get(key)
        counts[key] = row if known is None else known + row


def _tally(counts: _Counts) -> Tally:
    rows = sorted(counts.values(), key=lambda row: (-row.tokens, -row.calls, row.model))
    return Tally(tuple(row for row in rows if not row.cloud), tuple(row for row in rows if row.cloud))


def _read(connection: Connection) -> list[UsageRow]:
    return [UsageRow(model, bool(cloud), *counts) for model, cloud, *counts in connection.execute(_READ)]


def _put(connection: Connection, rows: list[UsageRow]) -> bool:
    values = [
        (row.model, row.cloud, row.calls, row.prompt_tokens, row.tokens, row.file_tokens, row.seconds) for row in rows
    ]
    with transaction(connection):
        connection.executemany(_ADD, values)
    return True
