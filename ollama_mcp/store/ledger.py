"""The ledger: a row for each call, which is only ever added to; the oldest are deleted by age and by size."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import msgspec

from ollama_mcp import clock
from ollama_mcp.store.writes import WriteBehind, transaction

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

_SECONDS_PER_DAY = 86_400
_PAGE_ROWS = 500
_DELETED_ROWS = 1_000
# Rows that wait while the file cannot be written; the oldest are lost beyond.
MAX_PENDING = 10_000
MAX_NAME_CHARS = 120

_COLUMNS = 7
_VALUES = f"({', '.join('?' * _COLUMNS)})"
_INSERT = f"INSERT INTO ledger (at, who, tool, outcome, seconds, traffic, bytes) VALUES {_VALUES}"
# Most rows of one statement, which counts the numbers of rows up once: a row by itself takes nearly twice as long.
_TOGETHER = 64
_PAGE = "SELECT id, at, who, tool, outcome, seconds, traffic FROM ledger WHERE id > ? AND at >= ? ORDER BY id LIMIT ?"
# Rows come nearly in the order of time, so that only the first ones are looked at.
_DELETE_OLD = """DELETE FROM ledger WHERE id IN (
    SELECT id FROM (SELECT id, at FROM ledger ORDER BY id LIMIT ?) WHERE at < ?) RETURNING bytes"""
_FIRST = "SELECT at FROM ledger ORDER BY id LIMIT 1"
_DELETE_FIRST = "DELETE FROM ledger WHERE id IN (SELECT id FROM ledger ORDER BY id LIMIT ?) RETURNING bytes"
_RESIZE = "UPDATE ledger_size SET bytes = bytes + ? RETURNING bytes"
# What a row takes beside its text of traffic.
_ROW_BYTES = 80


# A struct costs half of what a dataclass does, and what refers to nothing that refers back is no work for the garbage
# collector.
class Traffic(msgspec.Struct, gc=False):
    """What a call exchanged with one host about one model, as the ledger keeps it in JSON.

    Attributes:
        host: The host's name; "" for a server that is none.
        address: Its URL.
        model: The model, or "".
        digest: Of the model, where it is known.
        requests: Requests.
        prompt_tokens: Tokens that the model read.
        tokens: Tokens that it wrote.
        bytes_out: Bytes of bodies sent there.
        bytes_in: Bytes of bodies that came from there.
    """

    host: str
    address: str
    model: str
    digest: str | msgspec.UnsetType = msgspec.UNSET
    requests: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    bytes_out: int = 0
    bytes_in: int = 0


class LedgerRow(msgspec.Struct, gc=False):
    """One call.

    Attributes:
        who: Name of the token, or "local".
        tool: The tool; "" for what the server asked a host outside of calls.
        outcome: "ok", or the kind of the error.
        seconds: How long it took.
        traffic: By host, its address and the model.
        at: When it began, in seconds since 1970 by this machine's clock; it is written by the clock of the store.
    """

    who: str
    tool: str
    outcome: str = "ok"
    seconds: float = 0.0
    traffic: dict[tuple[str, str, str], Traffic] = {}
    at: float = msgspec.field(default_factory=time.time)


class Ledger:
    """Rows of calls. Adding one takes microseconds; the file is written some moments later.

    Args:
        database: Where they are kept.
        days: How long.
        megabytes: How many of them.

    Attributes:
        prepare: Called before each write: completes the rows, and may add some; never raises.
        lost: Rows that were lost because the file could not be written.
    """

    def __init__(self, database: Database, *, days: float, megabytes: float) -> None:
        self._database = database
        self._days, self._megabytes = days, megabytes
        self._pending: list[LedgerRow] = []
        self._writer = WriteBehind(self._write)
        self.prepare: Callable[[list[LedgerRow]], Awaitable[None]] | None = None
        self.lost = 0

    def add(self, row: LedgerRow) -> None:
        """Add a row; call it in the event loop."""
        self._pending.append(row)
        if self._writer.timer is None:
            self._writer.schedule()

    def schedule(self) -> None:
        """Note that there is something to write."""
        self._writer.schedule()

    async def flush(self) -> None:
        """Write at once what waits."""
        await self._writer.flush()

    async def entries(self, since: float = 0.0) -> AsyncGenerator[dict[str, Any]]:
        """Yield the rows since a moment (seconds since 1970), in the order of their writing, as JSON objects.

        Raises:
            DiskError: The store cannot be used.
        """
        after = 0
        while page := await self._database.run(partial(_page, after=after, since=since)):
            for number, at, who, tool, outcome, seconds, traffic in page:
                after = number
                yield {
                    "at": _iso(at),
                    "who": who,
                    "tool": tool,
                    "outcome": outcome,
                    "seconds": seconds,
                    "traffic": json.loads(traffic),
                }

    async def aclose(self) -> None:
        """Write the last rows."""
        await self.flush()

    async def _write(self) -> None:
        rows, self._pending = self._pending, []
        if self.prepare is not None:
            await self.prepare(rows)
        if not rows:
            return
        write = partial(_add, rows=rows, seconds=self._days * _SECONDS_PER_DAY, most=self._megabytes * 1e6)
        if not await self._database.run_or_default(write, False):
            waiting = [*rows, *self._pending]
            self.lost += max(0, len(waiting) - MAX_PENDING)
            self._pending = waiting[-MAX_PENDING:]


def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"


def _page(connection: Connection, *, after: int, since: float) -> list[tuple[Any, ...]]:
    return connection.execute(_PAGE, (after, since, _PAGE_ROWS)).fetchall()


def _add(connection: Connection, *, rows: list[LedgerRow], seconds: float, most: float) -> bool:
    # Only now there is a connection for certain, and with it the store's clock is known.
    ahead, oldest = clock.ahead(), clock.now() - seconds
    values = _values(rows, ahead)
    with transaction(connection):
        # First, so that of several processes one adds rows at a time: whoever reads by number misses none.
        size = connection.execute(_RESIZE, (sum(values[_COLUMNS - 1 :: _COLUMNS]),)).fetchone()[0]
        done = 0
        while done < len(rows):
            # By powers of two: there are few such statements, which stay prepared.
            count = min(_TOGETHER, 1 << (len(rows) - done).bit_length() - 1)
            connection.execute(_insert(count), values[done * _COLUMNS : (done + count) * _COLUMNS])
            done += count
        # Looking at one row costs less than looking for those to delete.
        if connection.execute(_FIRST).fetchone()[0] < oldest:
            freed = _deleted(connection, _DELETE_OLD, (_DELETED_ROWS + len(rows), oldest))
            size = connection.execute(_RESIZE, (-freed,)).fetchone()[0]
        while size > most and (freed := _deleted(connection, _DELETE_FIRST, (_DELETED_ROWS,))):
            size = connection.execute(_RESIZE, (-freed,)).fetchone()[0]
    return True


def _deleted(connection: Connection, statement: str, values: tuple[float, ...]) -> int:
    """Delete rows; how many bytes they had."""
    return sum(size for (size,) in connection.execute(statement, values).fetchall())


@cache
def _insert(count: int) -> str:
    return _INSERT + f", {_VALUES}" * (count - 1)


_encode = msgspec.json.Encoder().encode


def _values(rows: list[LedgerRow], ahead: float) -> list[Any]:
    """The values of all rows, one after another."""
    values: list[Any] = []
    for row in rows:
        text = _encode([*row.traffic.values()]).decode()
        # To the millisecond; rounding by `round` takes ten times as long.
        seconds = int(row.seconds * 1000 + 0.5) / 1000
        who, tool = row.who[:MAX_NAME_CHARS], row.tool[:MAX_NAME_CHARS]
        values += row.at + ahead, who, tool, row.outcome, seconds, text, _ROW_BYTES + len(text)
    return values
