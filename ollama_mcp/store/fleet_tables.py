"""What only a store that several servers share has, in PostgreSQL's own words; entries as in tables.py."""

from __future__ import annotations

# A batch whose rows are given to workers: `task` says what is done with each, `fed` is the last row that was given out.
# Of a range `job` is who may write: the queue's job that owns it now. `begun` is set once rows are worked on, `place`
# is the row that is asked alone, `marked` those that are errors since workers died of them, `rows` the input, gone once
# the range is done.
_RANGES = (
    """CREATE TABLE fleet_runs (
        run BIGINT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE, task TEXT NOT NULL, state TEXT NOT NULL,
        reason TEXT, fed BIGINT NOT NULL
    )""",
    """CREATE TABLE ranges (
        run BIGINT NOT NULL REFERENCES fleet_runs (run) ON DELETE CASCADE, no BIGINT NOT NULL,
        first BIGINT NOT NULL, last BIGINT NOT NULL, size BIGINT NOT NULL, rows BYTEA, job BIGINT NOT NULL,
        done BOOLEAN NOT NULL DEFAULT FALSE, begun BOOLEAN NOT NULL DEFAULT FALSE, began TIMESTAMPTZ,
        seconds DOUBLE PRECISION, deaths INTEGER NOT NULL DEFAULT 0, returns INTEGER NOT NULL DEFAULT 0, place BIGINT,
        marked BIGINT[] NOT NULL DEFAULT '{}',
        kept BIGINT NOT NULL DEFAULT 0, read BIGINT NOT NULL DEFAULT 0, written BIGINT NOT NULL DEFAULT 0,
        spent BIGINT NOT NULL DEFAULT 0, notes TEXT, PRIMARY KEY (run, no)
    )""",
    "CREATE INDEX unfinished_ranges ON ranges (run) WHERE NOT done",
)

# What each process does at the hosts, written every two seconds: worth nothing after a crash, so it is not logged.
# `host` tells a host from others for all of them, `name` is the process's own; `view` is JSON.
_HOST_VIEWS = (
    """CREATE UNLOGGED TABLE host_views (
        process TEXT NOT NULL, name TEXT NOT NULL, host TEXT NOT NULL, view TEXT NOT NULL, seen_at TIMESTAMPTZ NOT NULL,
        PRIMARY KEY (process, name)
    )""",
)

# Who told it: `program` says to people what it is and where it runs; `version` is '' of one that does not say it yet.
_PROCESSES = (
    """ALTER TABLE host_views ADD COLUMN program TEXT NOT NULL DEFAULT '', ADD COLUMN version TEXT NOT NULL DEFAULT '',
        ADD COLUMN takes_rows BOOLEAN NOT NULL DEFAULT FALSE""",
)

FLEET_MIGRATIONS: tuple[tuple[str, ...], ...] = (_RANGES, _HOST_VIEWS, _PROCESSES)
