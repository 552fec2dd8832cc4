"""Checks of the PostgreSQL database of the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from ollama_mcp import __version__
from ollama_mcp.cli.doctor.check import Check
from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.store.database import require_postgres

if TYPE_CHECKING:
    from ollama_mcp.store.postgres_state import Alive

_MOST_NAMED = 5
# Leases and time-outs are the database's or counted by each machine alone; ages of jobs and confirmations are not.
_MOST_SECONDS = 5.0


async def check_database(url: str, listen_url: str = "") -> AsyncGenerator[Check]:
    """Whether it is reached, has the tables of this version, tells news at once, and has the time of this machine."""
    try:
        require_postgres()
        from ollama_mcp.store.postgres_errors import shown
        from ollama_mcp.store.postgres_state import state_of

        state = await asyncio.to_thread(state_of, url)
        heard = await asyncio.to_thread(state_of, listen_url) if listen_url else state
    except (DiskError, InvalidArgument) as error:
        yield Check("database", error.message, "broken", error.next_step or "")
        return
    pooler = ", through a pooler" if state.pooled else ""
    found = f"PostgreSQL {state.server} at {shown(url)}{pooler}"
    if state.tables is not None:
        yield Check(
            "database", f"PostgreSQL {state.server}: {state.tables.message}", "broken", state.tables.next_step or ""
        )
    else:
        alive = f"servers and workers alive: {len(state.alive):,}"
        yield Check("database", f"{found}, with the tables of this version; {alive}")
        if others := [one for one in state.alive if one.version != __version__]:
            yield _other_versions(others)
    if heard.hears and not heard.pooled:
        yield Check("notify", "news arrive at once")
    else:
        yield Check(
            "notify",
            "no notification arrives: what another server changes, such as a cancel, is found by asking now and then",
            "warning",
            "Name PostgreSQL itself in store.listen_url.",
        )
    ahead = f"the database's clock is {abs(state.ahead):.1f} s {'ahead' if state.ahead > 0 else 'behind'}"
    if abs(state.ahead) > _MOST_SECONDS:
        yield Check("clock", ahead, "warning", "Synchronize the clocks of all machines (NTP).")
    else:
        yield Check("clock", ahead)


def _other_versions(others: Sequence[Alive]) -> Check:
    named = [f"{one.program or 'one'}: {one.version or 'an earlier one'}" for one in others[:_MOST_NAMED]]
    more = [f"{len(others) - _MOST_NAMED:,} more"] if len(others) > _MOST_NAMED else []
    return Check(
        "fleet",
        f"of those alive, {len(others):,} are of another version than this one ({__version__}): "
        f"{', '.join([*named, *more])}",
        "warning",
        "A worker takes rows of servers of its own version only: install one version everywhere and start them anew.",
    )
