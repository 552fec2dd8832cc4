"""Holds the load of a server: with $HOLD, a FIFO, its first import of a library waits until that was written to.

It says on stderr which thread is held, and when the server takes the pipe.
"""

from __future__ import annotations

import os
import sys
from typing import Any


class _Hold:
    def __init__(self, fifo: str) -> None:
        self._fifo = fifo

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "pydantic" and self._fifo:
            import threading

            fifo, self._fifo = self._fifo, ""
            is_main = threading.current_thread() is threading.main_thread()
            os.write(2, b"held in main\n" if is_main else b"held in load\n")
            with open(fifo, "rb") as stream:
                stream.read()
        elif name == "ollama_mcp.server.transports.connection":
            os.write(2, b"handed over\n")


if os.environ.get("HOLD"):
    sys.meta_path.insert(0, _Hold(os.environ["HOLD"]))
