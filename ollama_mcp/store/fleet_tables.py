"""What only a store that several servers share has, in PostgreSQL's own words; entries as in tables.py."""

from __future__ import annotations

FLEET_MIGRATIONS: tuple[tuple[str, ...], ...] = ()
