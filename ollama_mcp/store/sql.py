"""What the store's SQL runs on: the part of a connection that SQLite and PostgreSQL have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    """What a statement gives."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        ...

    def fetchone(self) -> Any:
        """The next row; None at the end."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...

    def close(self) -> object:
        """Give up the rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection as the functions of the store see it; parameters are marked by `?`."""

    in_memory: bool
    """Whether it is to a database in memory, which may stand in for one that cannot be used."""
    for_share: str
    """What a SELECT ends with whose rows nobody may change before the transaction ends."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Run a statement."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> object:
        """Run a statement once for each row of parameters."""
        ...

    def execute_each(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> list[int]:
        """Run a statement once for each row of parameters; return how many rows each of them changed."""
        ...

    def insert(self, table: str, rows: Sequence[Sequence[int | bytes]], /) -> None:
        """Insert many whole rows, of numbers and bytes."""
        ...

    def begin(self) -> None:
        """Begin a transaction that writes."""
        ...

    def lock(self, name: str) -> None:
        """Within a transaction that writes: wait until no other that named the same is under way.

        In SQLite only one writes at a time anyway; in PostgreSQL each statement sees what was committed before it.
        """
        ...

    def commit(self) -> None:
        """Keep what the transaction did."""
        ...

    def rollback(self) -> None:
        """Undo what the transaction did, if there is one."""
        ...
