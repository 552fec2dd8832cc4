"""The schema of the store, as migrations: entry n takes a file from version n to version n + 1.

A released migration never changes; every change of the schema is a new entry.
"""

from __future__ import annotations

# "oMCP": tells this server, and the command `file`, whose database it is.
APPLICATION_ID = 0x6F4D4350

_MODELS_AND_USAGE = (
    """CREATE TABLE models (
        digest TEXT PRIMARY KEY, ratio REAL, samples INTEGER NOT NULL DEFAULT 0, on_gpu INTEGER
    ) WITHOUT ROWID""",
    """CREATE TABLE usage (
        model TEXT, cloud INTEGER, calls INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, tokens INTEGER NOT NULL,
        file_tokens INTEGER NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (model, cloud)
    ) WITHOUT ROWID""",
)

# Keys and vectors are apart, so that lookups, the day of the last use and evictions neither read nor write vectors.
_EMBEDDINGS = (
    "CREATE TABLE spaces (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    """CREATE TABLE embedding_keys (
        space INTEGER, hash BLOB, vector INTEGER NOT NULL, bytes INTEGER NOT NULL, used INTEGER NOT NULL,
        PRIMARY KEY (space, hash)
    ) WITHOUT ROWID""",
    "CREATE TABLE vectors (id INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
    "CREATE TABLE embedding_size (bytes INTEGER NOT NULL)",
    "INSERT INTO embedding_size VALUES (0)",
)

# The ids of runs are random, so that in a file that took the place of another no run has the id of an old one.
_BATCHES = (
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY, key TEXT UNIQUE, total INTEGER, about TEXT NOT NULL, touched INTEGER NOT NULL
    )""",
    """CREATE TABLE records (
        run INTEGER NOT NULL REFERENCES runs (id), row INTEGER NOT NULL, error INTEGER NOT NULL, record BLOB NOT NULL
    )""",
    "CREATE UNIQUE INDEX records_by_row ON records (run, row)",
    "CREATE INDEX failed_records ON records (run, row) WHERE error = 1",
)

_TUNINGS = (
    """CREATE TABLE tunings (
        host TEXT, model TEXT, digest TEXT, parallel INTEGER NOT NULL, limited_by TEXT NOT NULL,
        slots INTEGER NOT NULL, steps TEXT NOT NULL, PRIMARY KEY (host, model, digest)
    ) WITHOUT ROWID""",
)

# `ended` counts the jobs that ended, so that their order depends on no clock.
_JOBS = (
    """CREATE TABLE job_owners (
        id TEXT PRIMARY KEY, machine TEXT NOT NULL, pid INTEGER NOT NULL, born TEXT NOT NULL, beats INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tool TEXT NOT NULL, model TEXT NOT NULL,
        principal TEXT NOT NULL, request TEXT, settings TEXT NOT NULL, resumes INTEGER NOT NULL, state TEXT NOT NULL,
        owner TEXT NOT NULL, fence INTEGER NOT NULL, cancel INTEGER NOT NULL DEFAULT 0, progress TEXT NOT NULL,
        text TEXT NOT NULL, result TEXT, tokens INTEGER, touched REAL NOT NULL, ended INTEGER
    )""",
    "CREATE INDEX running_jobs ON jobs (owner) WHERE state = 'running'",
)

# The rows of the ledger can be added and deleted, and never be changed.
LEDGER_UNCHANGED = """CREATE TRIGGER ledger_unchanged BEFORE UPDATE ON ledger BEGIN
        SELECT RAISE(ABORT, 'the ledger is only added to');
    END"""
_LEDGER = (
    """CREATE TABLE ledger (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, who TEXT NOT NULL, tool TEXT NOT NULL,
        outcome TEXT NOT NULL, seconds REAL NOT NULL, traffic TEXT NOT NULL, bytes INTEGER NOT NULL
    )""",
    "CREATE TABLE ledger_size (bytes INTEGER NOT NULL)",
    "INSERT INTO ledger_size VALUES (0)",
    LEDGER_UNCHANGED,
)

# The tokens of each principal on a day (UTC, counted from 1970).
_SPENDING = (
    """CREATE TABLE spending (
        day INTEGER, name TEXT, tokens INTEGER NOT NULL, PRIMARY KEY (day, name)
    ) WITHOUT ROWID""",
)

# What is known of files that were searched; paths are bytes, since names on Linux need not be text.
_SEARCHED_FILES = (
    """CREATE TABLE searched_files (
        path BLOB, cut TEXT, stamp TEXT NOT NULL, kind TEXT NOT NULL, notes TEXT NOT NULL, passages BLOB NOT NULL,
        used INTEGER NOT NULL, PRIMARY KEY (path, cut)
    )""",
)

_PROBES = (
    """CREATE TABLE probes (
        probe TEXT, digest TEXT, passed INTEGER NOT NULL, PRIMARY KEY (probe, digest)
    ) WITHOUT ROWID""",
)

# A profile is its owner's alone.
_PROFILES = (
    """CREATE TABLE profiles (
        owner TEXT, name TEXT, model TEXT NOT NULL, digest TEXT NOT NULL, prompt_hash TEXT NOT NULL,
        task TEXT NOT NULL, verdict TEXT NOT NULL, measured REAL NOT NULL, PRIMARY KEY (owner, name)
    ) WITHOUT ROWID""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    _MODELS_AND_USAGE,
    _EMBEDDINGS,
    _BATCHES,
    _TUNINGS,
    _JOBS,
    _LEDGER,
    _SPENDING,
    _SEARCHED_FILES,
    _PROBES,
    _PROFILES,
)
