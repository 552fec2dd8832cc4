"""What the home of a run and its workers say to each other: the tables of runs and ranges, and the queue's jobs.

Each function is one transaction. The job of a range is its fence: who does not own it any more writes nothing. Ranges
are locked before jobs everywhere, so that no two transactions wait for each other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import psycopg

from ollama_mcp import __version__
from ollama_mcp.store.batches import CheckpointLost, RowResult
from ollama_mcp.store.host_views import ALIVE_SECONDS

if TYPE_CHECKING:
    from ollama_mcp.store.postgres import PostgresConnection
    from ollama_mcp.store.sql import Connection

QUEUE = "bulk"
TASK = "work"
# Ranges of a run that are not done; more would let one run wait for all of another, and make a cancellation slow.
WINDOW = 8
_RUNNING = "running"
_PACES = 8

# What is given out goes by priority, the highest first; a range that goes to another job keeps its own.
_DEFER = f"""SELECT unnest(procrastinate_defer_jobs_v1(ARRAY[ROW('{QUEUE}', '{TASK}',
    coalesce(-?::integer, (SELECT priority FROM procrastinate_jobs AS j JOIN ranges AS r ON r.job = j.id
                           WHERE r.run = ? AND r.no = ?), 0), NULL, NULL,
    jsonb_build_object('run', ?::bigint, 'no', ?::bigint),
    CASE WHEN ?::float > 0 THEN now() + make_interval(secs => ?::float) END)]::procrastinate_job_to_defer_v1[]))"""
# A process that stops in the middle of a transaction must not hold its range for ever.
_IMPATIENT = "SET LOCAL idle_in_transaction_session_timeout TO '5s'"
_MINE = "run = ? AND no = ? AND job = ? AND NOT done"
_IS_KEPT = "EXISTS (SELECT 1 FROM runs WHERE id = ? AND key IS NOT NULL)"
# Before rows are written, so that nobody changes the range meanwhile.
_HOLD = f"SELECT 1 FROM ranges WHERE {_MINE} AND {_IS_KEPT} FOR UPDATE"
_SAVE = """WITH written AS (
        INSERT INTO records (run, row, error, record)
        SELECT ?::bigint, * FROM unnest(?::bigint[], ?::bigint[], ?::bytea[])
        ON CONFLICT (run, row) DO UPDATE SET error = excluded.error, record = excluded.record WHERE records.error = 1
        RETURNING row, (xmax = 0) AS is_new, error),
    counted AS (
        UPDATE ranges SET kept = kept + (SELECT count(*) FROM written WHERE is_new), spent = ?, returns = 0
        WHERE run = ? AND no = ?)
    SELECT row, is_new, error FROM written"""
_STATUS = f"""SELECT state, reason,
    (SELECT count(*) FROM ranges WHERE run = fleet_runs.run AND NOT done),
    (SELECT array[coalesce(sum(kept), 0), coalesce(sum(read), 0), coalesce(sum(written), 0), coalesce(sum(spent), 0)]
     ::bigint[] FROM ranges WHERE run = fleet_runs.run),
    (SELECT array_agg(size / greatest(seconds, 0.01)) FROM
     (SELECT size, seconds FROM ranges WHERE run = fleet_runs.run AND done ORDER BY no DESC LIMIT {_PACES}) AS last),
    (SELECT coalesce(max(size), 0) FROM ranges WHERE run = fleet_runs.run AND done),
    (SELECT coalesce(sum(size - kept), 0)::bigint FROM ranges WHERE run = fleet_runs.run AND NOT done)
    FROM fleet_runs WHERE run = ?"""
_IN = "= ANY(?::bigint[])"
_NEXT_TURN = f"""SELECT coalesce(min(-priority), 0) FROM procrastinate_jobs
    WHERE queue_name = '{QUEUE}' AND status IN ('todo', 'doing')"""
# The queue does not know of which version its workers are; those that tell another one take no rows of this.
_ALIVE = f"""SELECT greatest(0,
    (SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => ?)) -
    (SELECT count(DISTINCT process) FROM host_views WHERE takes_rows AND version <> ?
     AND seen_at > clock_timestamp() - make_interval(secs => {ALIVE_SECONDS})))"""


class RangeLost(CheckpointLost):
    """Another process has the range now, or the run was cancelled, stopped or removed."""

    def __init__(self) -> None:
        super().__init__("The range is another process's now, or its run has ended.")


class Status(NamedTuple):
    """How far a run is.

    Attributes:
        state: "running", "stopped" or "cancelled"; "" where it is gone.
        reason: Why it stopped, as `reason_of` made it.
        unfinished: Ranges that are not done.
        kept: Rows that its ranges kept.
        read: Tokens that were read, as far as their processors count them.
        written: Tokens that were written, likewise.
        spent: Tokens of all answers.
        paces: Rows a second of the ranges that were done last.
        largest: Rows of the largest range that is done.
        rows_left: Rows that are given out and not kept yet.
    """

    state: str
    reason: str | None = None
    unfinished: int = 0
    kept: int = 0
    read: int = 0
    written: int = 0
    spent: int = 0
    paces: tuple[float, ...] = ()
    largest: int = 0
    rows_left: int = 0


@dataclass(frozen=True)
class Range:
    """A range as the job that owns it sees it.

    Args:
        run: Its run.
        no: Its number in the run.
        job: The job.
        first: Number of its first row.
        last: Number of its last row.
        rows: Its rows, encoded.
        deaths: How many workers died of it.
        returns: How often it was given back since a row of it was kept.
        marked: Rows that are errors since workers died of them, and are not tried again.
        task: What is done with each row, encoded.
        spent: Tokens that it has cost before.
        known: Rows from the first to the last that have a record.
    """

    run: int
    no: int
    job: int
    first: int
    last: int
    rows: bytes
    deaths: int
    returns: int
    marked: list[int]
    task: str
    spent: int
    known: list[int]

    @property
    def mine(self) -> tuple[int, int, int]:
        """What the fence asks for."""
        return self.run, self.no, self.job


# The home.


def workers_alive(connection: Connection, seconds: float) -> int:
    """How many workers of this version gave a sign of life within these seconds."""
    return connection.execute(_ALIVE, (seconds, __version__)).fetchone()[0]


def begin(connection: Connection, run: int, task: str, job: str = "") -> tuple[int, int]:
    """Go on with a run, or begin it, with a note of it at the job that it is for.

    Returns:
        The last row that was given out, and the number of the last range.
    """
    _note(connection, job, run)
    found = connection.execute(
        "SELECT fed, (SELECT coalesce(max(no), 0) FROM ranges WHERE run = fleet_runs.run) FROM fleet_runs "
        "WHERE run = ? AND state = ? AND task = ? FOR UPDATE",
        (run, _RUNNING, task),
    ).fetchone()
    if found is not None:
        return found
    _end_jobs(connection, run)
    connection.execute("DELETE FROM fleet_runs WHERE run = ?", (run,))
    connection.execute("INSERT INTO fleet_runs VALUES (?, ?, ?, NULL, 0)", (run, task, _RUNNING))
    return 0, 0


def _note(connection: Connection, job: str, run: int) -> None:
    """Note at a job which run works for it: who ends the job ends that too, also once its process has ended."""
    found = connection.execute("SELECT progress FROM jobs WHERE id = ? FOR UPDATE", (job,)).fetchone()
    if found is not None:
        progress = json.dumps({**json.loads(found[0]), "run": run})
        connection.execute("UPDATE jobs SET progress = ? WHERE id = ?", (progress, job))


def status(connection: Connection, run: int) -> Status:
    """How far a run is."""
    found = connection.execute(_STATUS, (run,)).fetchone()
    if found is None:
        return Status("")
    state, reason, unfinished, sums, paces, largest, left = found
    kept, read, written, spent = sums
    return Status(state, reason, unfinished, kept, read, written, spent, tuple(map(float, paces or ())), largest, left)


def feed(
    connection: Connection, run: int, no: int, numbers: tuple[int, ...], rows: bytes, fed: int, turn: int
) -> int | None:
    """Give out a range with its rows; returns its turn, None where the run does not run any more.

    A range has its turn after those of all runs that have lower ones, so that runs take turns by what their ranges cost
    and a run that begins later does not wait for all that others have given out. What was given out already is left so.

    Args:
        connection: The connection.
        run: The run.
        no: The number of the range.
        numbers: The numbers of its rows; none where only `fed` moves on.
        rows: Its rows, encoded.
        fed: The last row of the input that needs nothing any more.
        turn: The least turn that it may have: that of the run's last range and what that one costs.
    """
    held = "SELECT 1 FROM fleet_runs WHERE run = ? AND state = ? FOR UPDATE"
    if connection.execute(held, (run, _RUNNING)).fetchone() is None:
        return None
    connection.execute("UPDATE fleet_runs SET fed = ? WHERE run = ?", (fed, run))
    # So that nobody takes it for one that is used no more.
    connection.execute("UPDATE runs SET touched = extract(epoch FROM now())::bigint WHERE id = ?", (run,))
    known = "SELECT 1 FROM ranges WHERE run = ? AND no = ?"
    if numbers and connection.execute(known, (run, no)).fetchone() is None:
        # Who comes later, or comes back, begins where the others are now.
        turn = max(turn, connection.execute(_NEXT_TURN).fetchone()[0])
        connection.execute(
            "INSERT INTO ranges (run, no, first, last, size, rows, job) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (run, no, numbers[0], numbers[-1], len(numbers), rows, new_job(connection, run, no, turn=turn)),
        )
    return turn


def cancel(connection: Connection, run: int) -> int:
    """End the work on a run: its state first, then its jobs, those that were given out last first.

    Returns:
        The tokens of all its answers so far.
    """
    return _end(connection, run, "cancelled", None)


def forget(connection: Connection, run: int) -> list[str]:
    """Remove what was needed for the work on a run; returns the notes of its ranges."""
    notes = "SELECT DISTINCT notes FROM ranges WHERE run = ? AND notes IS NOT NULL"
    found = [note for (one,) in connection.execute(notes, (run,)).fetchall() for note in json.loads(one)]
    _end_jobs(connection, run)
    connection.execute("DELETE FROM fleet_runs WHERE run = ?", (run,))
    return list(dict.fromkeys(found))


# Who works on a range.


def take(connection: Connection, run: int, no: int, job: int) -> Range | None:
    """The range of a job; None where it is another's, done, or its run has ended."""
    found = connection.execute(
        "SELECT first, last, rows, deaths, returns, marked, task, spent, "
        "ARRAY(SELECT row FROM records AS k WHERE k.run = ranges.run AND k.row BETWEEN first AND last) "
        "FROM ranges JOIN fleet_runs USING (run) "
        f"WHERE run = ? AND no = ? AND job = ? AND NOT done AND state = ? AND {_IS_KEPT}",
        (run, no, job, _RUNNING, run),
    ).fetchone()
    return Range(run, no, job, *found) if found is not None else None


def set_out(connection: Connection, mine: tuple[int, int, int]) -> None:
    """Note that rows of a range are worked on from now on.

    Raises:
        RangeLost: It is another's.
    """
    _update(connection, "begun = TRUE, began = coalesce(began, now()), place = NULL", (), mine)


def place(connection: Connection, mine: tuple[int, int, int], row: int) -> None:
    """Note which row is asked, alone.

    Raises:
        RangeLost: It is another's.
    """
    _update(connection, "place = ?", (row,), mine)


def save(
    connection: Connection, mine: tuple[int, int, int], rows: list[RowResult], spent: int
) -> tuple[list[RowResult], int]:
    """Write rows of a range, and the tokens of all answers for it so far.

    Returns:
        Those that are new, and how many that had failed have now succeeded.

    Raises:
        RangeLost: It is another's; nothing is written.
    """
    run, no, _ = mine
    # In one order everywhere, so that two processes never wait for each other's rows.
    rows = sorted(rows, key=lambda row: row.row)
    columns = [row.row for row in rows], [int(row.error) for row in rows], [row.record for row in rows]
    together = cast("PostgresConnection", connection).execute_all
    try:
        _, held, saved = together((_IMPATIENT, ()), (_HOLD, (*mine, run)), (_SAVE, (run, *columns, spent, run, no)))
    except psycopg.errors.ForeignKeyViolation:
        # The run has ended meanwhile, and is no longer kept.
        raise RangeLost from None
    if held.fetchone() is None:
        raise RangeLost
    written = saved.fetchall()
    added = {number for number, is_new, _ in written if is_new}
    recovered = sum(not is_new and not error for _, is_new, error in written)
    return [row for row in rows if row.row in added], recovered


def finish(
    connection: Connection,
    mine: tuple[int, int, int],
    numbers: list[int],
    counts: tuple[int, int],
    spent: int,
    seconds: float,
    notes: str,
) -> bool:
    """Note that a range is done; returns False where some of its rows have no record.

    Args:
        connection: The connection.
        mine: The range.
        numbers: The numbers of its rows.
        counts: Tokens that were read and written since it was taken.
        spent: Tokens of all answers for it.
        seconds: How long it takes where it has its part of a worker.
        notes: What should be known, as JSON.

    Raises:
        RangeLost: It is another's.
    """
    connection.execute(_IMPATIENT)
    first, last = numbers[0], numbers[-1]
    # Without gaps, as nearly always, they are counted in one pass.
    which, given = ("BETWEEN ? AND ?", (first, last)) if last - first < len(numbers) else (_IN, (numbers,))
    count = f"SELECT count(*) FROM records WHERE run = ? AND row {which}"
    complete = connection.execute(count, (mine[0], *given)).fetchone()[0] == len(numbers)
    what = "read = read + ?, written = written + ?, spent = ?"
    if complete:
        what += ", done = TRUE, rows = NULL, notes = ?, seconds = ?"
    _update(connection, what, (*counts, spent, *([notes, seconds] if complete else [])), mine)
    return complete


def give_back(connection: Connection, mine: tuple[int, int, int], delay: float) -> None:
    """Let another job have a range, after some seconds; it is nobody's death.

    Raises:
        RangeLost: It is another's already.
    """
    # Locked before the job is made.
    if connection.execute(f"SELECT 1 FROM ranges WHERE {_MINE} FOR UPDATE", mine).fetchone() is None:
        raise RangeLost
    job = new_job(connection, mine[0], mine[1], delay)
    _update(connection, "job = ?, begun = FALSE, place = NULL, returns = returns + 1", (job,), mine)


def stop(connection: Connection, mine: tuple[int, int, int], reason: str) -> None:
    """Stop a run for a reason that every row would meet."""
    owned = connection.execute(f"SELECT 1 FROM ranges WHERE {_MINE}", mine).fetchone()
    if owned is not None:
        _end(connection, mine[0], "stopped", reason, but=mine[2])


def _update(connection: Connection, what: str, values: tuple[Any, ...], mine: tuple[int, int, int]) -> None:
    if connection.execute(f"UPDATE ranges SET {what} WHERE {_MINE}", (*values, *mine)).rowcount != 1:
        raise RangeLost


def new_job(connection: Connection, run: int, no: int, delay: float = 0.0, turn: int | None = None) -> int:
    """Put a job for a range into the queue, with the turn of the job before unless one is given; returns its id."""
    return connection.execute(_DEFER, (turn, run, no, run, no, delay, delay)).fetchone()[0]


def _end(connection: Connection, run: int, state: str, reason: str | None, but: int = 0) -> int:
    connection.execute(
        "UPDATE fleet_runs SET state = ?, reason = ? WHERE run = ? AND state = ?", (state, reason, run, _RUNNING)
    )
    _end_jobs(connection, run, but)
    return sum(spent for (spent,) in connection.execute("DELETE FROM ranges WHERE run = ? RETURNING spent", (run,)))


def _end_jobs(connection: Connection, run: int, but: int = 0) -> None:
    """Abort the jobs of a run, those that were given out last first."""
    connection.execute("SELECT 1 FROM ranges WHERE run = ? ORDER BY no FOR UPDATE", (run,))
    connection.execute(
        "SELECT procrastinate_cancel_job_v1(job, TRUE, TRUE) FROM "
        "(SELECT job FROM ranges WHERE run = ? AND NOT done AND job <> ? ORDER BY no DESC) AS jobs",
        (run, but),
    )
