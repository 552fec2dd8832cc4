"""Runs take turns by what their ranges cost, whenever they begin."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg

from ollama_mcp.fleet import tables
from ollama_mcp.store.postgres import PostgresConnection
from ollama_mcp.store.postgres_schema import SCHEMA
from tests.fleet.postgres import Postgres

_FETCH: LiteralString = (
    "SELECT (args->>'run')::int, (args->>'no')::int, id FROM procrastinate_fetch_job_v2(ARRAY['bulk'], %s)"
)


class Queue:
    """Runs with ranges, and a worker that takes one after another."""

    def __init__(self, raw: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._raw, self.connection = raw, PostgresConnection(raw)
        self._worker = self.connection.execute("SELECT * FROM procrastinate_register_worker_v1()").fetchone()
        self._turns = dict[int, int]()
        self._fed = dict[int, int]()

    def begin(self, run: int) -> None:
        """A run that has given out nothing yet."""
        self.connection.execute("INSERT INTO runs VALUES (?, ?, 100, '{}', 0)", (run, str(run)))
        tables.begin(self.connection, run, "{}")
        self._turns[run] = self._fed[run] = 0

    def feed(self, run: int, *costs: int) -> None:
        """Give out ranges."""
        for cost in costs:
            self._fed[run] += 1
            row = self._fed[run]
            turn = tables.feed(self.connection, run, row, (row,), b"[]", row, self._turns[run])
            assert turn is not None
            self._turns[run] = turn + cost

    def taken(self) -> tuple[int, int, int]:
        """Run, number and job of the range that a worker gets next."""
        assert self._worker is not None
        return self._raw.execute(_FETCH, self._worker).fetchall()[0]

    def taken_of(self, number: int) -> str:
        """Which runs' ranges are the next."""
        return "".join("?ab"[self.taken()[0]] for _ in range(number))


def test_a_run_that_begins_later_has_its_turn_at_once_and_then_its_half(database_server: Postgres) -> None:
    with psycopg.connect(database_server.url()) as raw:
        raw.execute(f"SET search_path TO {SCHEMA}")
        queue = Queue(raw)
        queue.begin(1)
        queue.feed(1, *[40] * 8)
        assert queue.taken_of(2) == "aa"
        queue.begin(2)
        # Small ones, as long as nothing is known of its pace.
        queue.feed(2, *[1] * 8)
        assert queue.taken_of(8) == "b" * 8
        queue.feed(2, *[40] * 8)
        assert queue.taken_of(9) == "bbabababa"


def test_a_range_that_goes_back_keeps_its_turn(database_server: Postgres) -> None:
    with psycopg.connect(database_server.url()) as raw:
        raw.execute(f"SET search_path TO {SCHEMA}")
        queue = Queue(raw)
        queue.begin(1)
        queue.feed(1, *[40] * 3)
        mine = queue.taken()
        assert mine[:2] == (1, 1)
        tables.give_back(queue.connection, mine, 0.0)
        assert [queue.taken()[1] for _ in range(3)] == [1, 2, 3]
