"""Profiles: which model was found to do a task well enough, and with which prompt, under a name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_mcp import clock
from ollama_mcp.store.writes import transaction

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

_READ = "SELECT model, digest, prompt_hash, task, verdict FROM profiles WHERE owner = ? AND name = ?"
_NAMES = "SELECT name FROM profiles WHERE owner = ? ORDER BY measured DESC"
_WRITE = """INSERT INTO profiles (owner, name, model, digest, prompt_hash, task, verdict, measured)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (owner, name) DO UPDATE SET
    model = excluded.model, digest = excluded.digest, prompt_hash = excluded.prompt_hash, task = excluded.task,
    verdict = excluded.verdict, measured = excluded.measured"""


@dataclass(frozen=True, slots=True)
class Profile:
    """What was measured.

    Args:
        model: The model that was found.
        digest: Its digest when it was measured; "" for a model of ollama.com.
        prompt_hash: Stands for the prompt, the questions and the format.
        task: The prompt, system, questions, format and options, by the names that tools have for them; the examples.
        verdict: What was found, in words.
    """

    model: str
    digest: str
    prompt_hash: str
    task: dict[str, Any] = field(default_factory=dict[str, Any])
    verdict: str = ""


class Profiles:
    """Profiles by their owner (the name of a principal, "" for the one user) and their name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, owner: str, name: str) -> Profile | None:
        """The profile of a name; None where there is none.

        Raises:
            DiskError: The store cannot be used.
        """
        found = await self._database.run(lambda connection: connection.execute(_READ, (owner, name)).fetchone())
        if found is None:
            return None
        model, digest, prompt_hash, task, verdict = found
        return Profile(model, digest, prompt_hash, json.loads(task), verdict)

    async def names(self, owner: str) -> list[str]:
        """The names, the one that was measured last first.

        Raises:
            DiskError: The store cannot be used.
        """
        found = await self._database.run(lambda connection: connection.execute(_NAMES, (owner,)).fetchall())
        return [name for (name,) in found]

    async def keep(self, owner: str, name: str, profile: Profile) -> None:
        """Keep a profile in place of the one before.

        Raises:
            DiskError: The store cannot be used.
        """
        task = json.dumps(profile.task)
        row = (owner, name, profile.model, profile.digest, profile.prompt_hash, task, profile.verdict, clock.now())
        await self._database.run(lambda connection: _write(connection, row))

    async def clear(self) -> int:
        """Delete all profiles; returns how many there were.

        Raises:
            DiskError: The store cannot be used.
        """
        return await self._database.run(_clear)


def _clear(connection: Connection) -> int:
    with transaction(connection):
        return connection.execute("DELETE FROM profiles").rowcount


def _write(connection: Connection, row: tuple[Any, ...]) -> None:
    with transaction(connection):
        connection.execute(_WRITE, row)
