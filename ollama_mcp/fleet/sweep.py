"""Taking over what dead workers left: each worker does it every second, for all, in one transaction.

A range goes to a new job; the old one is closed only then, so that its late end does nothing. (Giving the same job out
again, as the queue's documentation has it, would let a worker that was only slow end the job of another.)
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from ollama_mcp.errors import InternalError
from ollama_mcp.fleet.tables import new_job
from ollama_mcp.work.batch.rows import Record

if TYPE_CHECKING:
    from ollama_mcp.store.sql import Connection

# After so many deaths a range is worked on row by row and alone in its process, so that the next death tells the row.
ALONE = 2
# After so many the row that was asked alone is an error, and after so many all that are left.
_MARKED = 3
_GIVEN_UP = 10

# After a restart of the server all signs of life are old, until those who give them are connected again.
_AFTER_RESTART = 5.0
# `status` is NULL where the job is gone.
_LEFT = """SELECT r.run, r.no, r.job, r.begun, r.deaths, r.place, r.rows, j.status::text
    FROM ranges AS r JOIN fleet_runs AS f ON f.run = r.run AND f.state = 'running'
    LEFT JOIN procrastinate_jobs AS j ON j.id = r.job LEFT JOIN procrastinate_workers AS w ON w.id = j.worker_id
    WHERE NOT r.done AND NOT r.job = ANY(?::bigint[]) AND (
        j.id IS NULL OR j.status NOT IN ('todo', 'doing') OR (j.status = 'doing' AND (
            w.id IS NULL OR (w.last_heartbeat < now() - make_interval(secs => ?)
                             AND pg_postmaster_start_time() < now() - make_interval(secs => ?)))))
    ORDER BY r.run, r.no FOR UPDATE OF r SKIP LOCKED"""
_MARK = """INSERT INTO records (run, row, error, record) VALUES (?, ?, 1, ?) ON CONFLICT (run, row) DO NOTHING"""
_OLD_WORKERS = "DELETE FROM procrastinate_workers WHERE last_heartbeat < now() - interval '1 hour'"


class TakenOver(NamedTuple):
    """What was found of a range.

    Attributes:
        run: Its run.
        no: Its number.
        status: The state of its job before; None where that was gone.
        died: Whether rows of it were at work.
        marked: Rows that are errors from now on.
    """

    run: int
    no: int
    status: str | None
    died: bool
    marked: int


def sweep(connection: Connection, seconds: float, own: Collection[int] = ()) -> list[TakenOver]:
    """Give ranges without a living job to new jobs.

    Args:
        connection: The connection.
        seconds: A worker is dead after these seconds without a sign of life.
        own: Jobs that this process works on, and which are alive for that.
    """
    connection.execute(_OLD_WORKERS)
    found: list[TakenOver] = []
    for run, no, job, begun, deaths, place, rows, status in connection.execute(
        _LEFT, (list(own), seconds, seconds + _AFTER_RESTART)
    ).fetchall():
        died = status == "doing" and begun
        deaths += died
        marked = _marked(deaths, place, rows) if died else []
        added = _mark(connection, run, deaths, marked)
        connection.execute(
            "UPDATE ranges SET job = ?, begun = FALSE, place = NULL, deaths = ?, kept = kept + ?, "
            "marked = marked || ?::bigint[] WHERE run = ? AND no = ?",
            (new_job(connection, run, no), deaths, added, marked, run, no),
        )
        connection.execute("DELETE FROM procrastinate_jobs WHERE id = ?", (job,))
        found.append(TakenOver(run, no, status, died, len(marked)))
    return found


def _marked(deaths: int, place: int | None, rows: bytes) -> list[int]:
    """The row that workers died of, or all of the range where nothing else helps."""
    if deaths >= _GIVEN_UP:
        return [row[0] for row in json.loads(rows)]
    return [place] if deaths >= _MARKED and place is not None else []


def _mark(connection: Connection, run: int, deaths: int, rows: list[int]) -> int:
    """Make errors of rows, as far as they have no record; returns how many."""
    error = InternalError(
        f"Worker processes died on this row ({deaths} times with its range).",
        next_step="See the workers' logs for what ended them, such as too little memory.",
    )
    record = Record.from_error(error).encode()
    return sum(connection.execute(_MARK, (run, row, record)).rowcount for row in rows)
