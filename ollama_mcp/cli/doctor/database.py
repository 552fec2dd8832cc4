"""Checks of the PostgreSQL database of the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from ollama_mcp.cli.doctor.check import Check
from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.store.database import require_postgres

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
        alive = f"servers and workers alive: {state.processes:,}"
        yield Check("database", f"{found}, with the tables of this version; {alive}")
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
