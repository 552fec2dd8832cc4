"""What went wrong with the PostgreSQL database, as an error that says what to do."""

from __future__ import annotations

import re

import psycopg
from psycopg import errors

from ollama_mcp._command import command
from ollama_mcp.errors import DiskError
from ollama_mcp.store.patient import DatabaseAway

_REASONS: tuple[tuple[type[psycopg.Error], str, str], ...] = (
    (errors.DiskFull, "its disk is full", "Free some space there"),
    (
        errors.InsufficientPrivilege,
        "this user may not do that there ({said})",
        "Grant the rights (store upgrade: CREATE on the database), or name another user",
    ),
    (errors.ReadOnlySqlTransaction, "it is read-only", "Name the primary server"),
    (errors.LockNotAvailable, "another transaction has kept it locked", "End that transaction"),
    (errors.TooManyConnections, "it has too many connections", "Raise max_connections there, or use a pooler"),
)
# A connection that is refused comes with no code, in English unless the server is set to speak another language.
_AT_CONNECTING = (
    ("password authentication failed", "the user name or the password is wrong", "Check both in store.url"),
    ("no password supplied", "the user name or the password is wrong", "Check both in store.url"),
    ("no pg_hba.conf entry", "this user may not connect from here", "Add a line for it to pg_hba.conf there"),
    ("too many clients", "it has too many connections", "Raise max_connections there, or use a pooler"),
    ('FATAL: database "', "there is no such database", "Create it with createdb, or name another"),
    ("connection is bad: invalid", "its address is wrong ({said})", "Correct store.url"),
    ("does not support SSL", "it speaks no TLS, which sslmode asks for", "Set TLS up there, or correct store.url"),
    ("SSL error", "it cannot be spoken to by TLS ({said})", "Correct sslmode or sslrootcert in store.url"),
    ('FATAL: role "', "there is no such user", "Create it with createuser, or name another"),
)

# Connection exceptions, also those of a pooler, and a server that is shutting down.
_AWAY = ("08", "57P")
# What may be over soon; a balancer may lead to a standby that is read-only, before it has become the primary server.
_PASSING = (psycopg.OperationalError, errors.ReadOnlySqlTransaction, errors.IdleInTransactionSessionTimeout)

# Hosts with their ports, which are numbers, and the database.
_HOST = r"(?:\[[0-9a-fA-F:.%]*\]|[^][:/@#,\s]*)(?::\d*)?"
_PLACE = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/[^/@#\s]*)?")


def shown(url: str) -> str:
    """An address without its user, password and parameters, whatever a password has in it; in quotes.

    What has to be written as %40 in an address, and is not, may look like its host or its parameters.
    """
    scheme, found, rest = url.partition("://")
    where, _, parameters = rest.partition("?")
    where = where.rpartition("@")[2]
    if not found or "@" in parameters or not _PLACE.fullmatch(where):
        return "(unreadable)"
    return repr(f"{scheme}://{where}"[:120])


def failure_of(error: psycopg.Error, url: str) -> DiskError:
    """The error as one that says what to do; `DatabaseAway` where the same may succeed later."""
    described = _described(error, url)
    if not isinstance(error, _PASSING):
        return described
    away = DatabaseAway(described.message, next_step=described.next_step)
    is_refused = any(words in str(error) for words, *_ in _AT_CONNECTING)
    away.refuses = is_refused if error.sqlstate is None else not error.sqlstate.startswith(_AWAY)
    return away


def _described(error: psycopg.Error, url: str) -> DiskError:
    where = f"The store {shown(url)} cannot be used"
    said = " ".join((error.diag.message_primary or str(error)).split())[-200:]
    for kind, reason, remedy in _REASONS:
        if isinstance(error, kind) or (kind.sqlstate is not None and kind.sqlstate == error.sqlstate):
            return DiskError(f"{where}: {reason.format(said=said)}.", next_step=f"{remedy}, then try again.")
    for words, reason, remedy in _AT_CONNECTING:
        if words in said:
            return DiskError(f"{where}: {reason.format(said=said)}.", next_step=f"{remedy}, then try again.")
    if isinstance(error, psycopg.OperationalError):
        return DiskError(
            f"{where}: it does not answer ({said}).",
            next_step="Check that PostgreSQL runs there and can be reached, then try again.",
        )
    return DiskError(f"{where}: {said}.", next_step=f"Run {command('doctor')}.")
