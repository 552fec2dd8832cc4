"""What a server does with others: only with a store that they share, and loaded when it is needed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.store.database import require_postgres

if TYPE_CHECKING:
    from ollama_mcp.hosts import HostPool
    from ollama_mcp.settings import Settings
    from ollama_mcp.store import Store
    from ollama_mcp.work.batch.elsewhere import Workers


def workers_of(settings: Settings, store: Store) -> Callable[[], Workers] | None:
    """Returns the processes that take rows of batches; None where the store is one process's own.

    Raises:
        InvalidArgument: This server is to be one of them, and has no store that could be shared, or lacks what that
            needs.
    """
    if settings.fleet.work:
        if not store.url:
            raise InvalidArgument(
                "fleet.work needs a store that servers share (store.url), and may not be read_only.",
                next_step="Set store.url to postgresql://user@host/database, or fleet.work to false.",
            )
        require_postgres()

    def found() -> Workers:
        from ollama_mcp.fleet.feeder import FleetOfWorkers

        return FleetOfWorkers(settings.fleet.lost_seconds)

    return found if store.url else None


@asynccontextmanager
async def hosts_shared(settings: Settings, store: Store, hosts: HostPool) -> AsyncGenerator[None]:
    """Share the hosts with the other processes of the store while the block runs."""
    if not store.url:
        yield
        return
    from ollama_mcp.fleet.shared_hosts import SharedHosts

    async with SharedHosts(store.database, hosts, "server", takes_rows=settings.fleet.work):
        yield
