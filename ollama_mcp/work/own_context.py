"""The context of what a process does for itself: nobody's call, which reads no files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ollama_mcp.errors import InternalError
from ollama_mcp.hosts.model_activity import ActiveCalls
from ollama_mcp.work.call_context import CallContext
from ollama_mcp.work.choosing import ModelHabits
from ollama_mcp.work.progress import Progress

if TYPE_CHECKING:
    from ollama_mcp.access import Access
    from ollama_mcp.hosts import HostPool
    from ollama_mcp.settings import Settings
    from ollama_mcp.store import Store


def own_context(
    settings: Settings,
    hosts: HostPool,
    store: Store,
    *,
    progress: Progress | None = None,
    in_use: ActiveCalls | None = None,
) -> CallContext:
    """Return a context on these hosts and this store.

    Args:
        settings: The settings.
        hosts: The hosts.
        store: The store.
        progress: Where progress is told; nowhere unless given.
        in_use: The models that the calls of the process use, where it has others.
    """
    return CallContext(
        settings, hosts, _no_access, store, progress or Progress(None), in_use or ActiveCalls(), ModelHabits()
    )


def _no_access() -> Access:
    raise InternalError("What is no call of a client reads no files.")
