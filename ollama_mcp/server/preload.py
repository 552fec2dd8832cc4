"""Imports what the first calls need, in the background, once a client has listed the tools.

A start imports nothing that it does not need. Without this the first batch of a process waits for modules, 0.3 to 1 s;
nearly always there is time for that between the list and the first call.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import suppress
from importlib import import_module

# Until the client has its list and whatever else it asks for at the start; a process that ends before imports nothing.
_DELAY_SECONDS = 0.5
_PAUSE_SECONDS = 0.01
# From the small to the large: a call that needs one meanwhile waits for that one only.
_MODULES = (
    "httpcore",
    "httpx",
    "ollama_mcp.api.transport",
    "ollama_mcp.api.client",
    "ollama_mcp.access",
    "filelock",
    "platformdirs",
    "ollama_mcp.work.chat.run",
    "ollama_mcp.work.decide",
    "ollama_mcp.work.batch",
)


class Preloader:
    """Imports in a thread, a while after `schedule`."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._cancelled = threading.Event()

    def schedule(self) -> None:
        """Begin in a moment; further calls change nothing."""
        if self._timer is None:
            # A daemon: no process that ends waits for it.
            thread = threading.Thread(target=self._import, name="preload", daemon=True)
            self._timer = asyncio.get_running_loop().call_later(_DELAY_SECONDS, thread.start)

    def cancel(self) -> None:
        """Import nothing more."""
        self._cancelled.set()
        if self._timer is not None:
            self._timer.cancel()

    def _import(self) -> None:
        for name in _MODULES:
            # Calls come first; what cannot be imported is told by the call that needs it.
            if self._cancelled.wait(_PAUSE_SECONDS):
                return
            with suppress(Exception):
                import_module(name)
        # They live as long as the process, as what `import_sdk` imports: later collections need not visit them.
        gc.freeze()
