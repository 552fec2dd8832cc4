"""Figures that all transports share."""

from __future__ import annotations

import sys
from contextlib import suppress

MAX_MESSAGE_BYTES = 72 * 1024 * 1024
"""Longest stdio line and largest HTTP body: room for a 50 MB file as base64 and the JSON around it."""

MAX_CONNECTION_CALLS = 2_000
"""Requests in flight on one stdio or SSE connection; further ones are answered with an error at once."""

_OPEN_FILES = 65_536


def raise_open_files() -> None:
    """Raises the soft limit of open files: a call holds one connection to Ollama, and over HTTP one to its client.

    The usual 1,024 would end in refused connections at a few hundred calls.
    """
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS allows less than the hard limit says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
