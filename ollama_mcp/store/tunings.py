"""How many requests at a time are worth it, as measured: per host, model and digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ollama_mcp.store.writes import transaction

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

_READ = "SELECT parallel, limited_by, slots, steps FROM tunings WHERE host = ? AND model = ? AND digest = ?"
_WRITE = """INSERT INTO tunings (host, model, digest, parallel, limited_by, slots, steps)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (host, model, digest) DO UPDATE SET
    parallel = excluded.parallel, limited_by = excluded.limited_by, slots = excluded.slots, steps = excluded.steps"""

Limit = Literal["slots", "process", "gpu", "engine", "none"]
"""Why more requests at a time gain nothing: Ollama's slots, this process, the GPU, the model's engine, or none yet."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a measurement came to.

    Attributes:
        parallel: Requests at a time that are worth it.
        limited_by: Why more gain nothing.
        slots: How many requests Ollama ran at a time, where its slots are the limit; else 0.
        steps: Requests per second by the number at a time that was tried.
    """

    parallel: int
    limited_by: Limit
    slots: int = 0
    steps: Mapping[int, float] = field(default_factory=dict[int, float])


class Tunings:
    """Measurements by the host's URL, the model's name and its digest: another model of that name has none."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, host: str, model: str, digest: str) -> Tuning | None:
        """Return the last measurement; None where there is none, or the store cannot be read."""
        key = (host, model, digest)
        return await self._database.run_or_default(lambda connection: _read(connection, key), None)

    async def keep(self, host: str, model: str, digest: str, tuning: Tuning) -> None:
        """Keep a measurement in place of the one before; where the store cannot be written, it is lost."""
        steps = json.dumps({str(parallel): round(rate, 3) for parallel, rate in tuning.steps.items()})
        row = (host, model, digest, tuning.parallel, tuning.limited_by, tuning.slots, steps)
        await self._database.run_or_default(lambda connection: _write(connection, row), None)


def _read(connection: Connection, key: tuple[str, str, str]) -> Tuning | None:
    found = connection.execute(_READ, key).fetchone()
    if found is None:
        return None
    parallel, limited_by, slots, steps = found
    rates: dict[str, float] = json.loads(steps)
    return Tuning(parallel, limited_by, slots, {int(step): rate for step, rate in rates.items()})


def _write(connection: Connection, row: tuple[Any, ...]) -> None:
    with transaction(connection):
        connection.execute(_WRITE, row)
