"""What tests install for themselves, once, into the user's cache."""

from __future__ import annotations

import os
from typing import NoReturn

import platformdirs
import pytest

# Looked up at import: while tests run, that folder is none that can be written.
CACHE = platformdirs.user_cache_path("ollama-mcp-server-tests")


def unavailable(reason: str) -> NoReturn:
    """Skip the test for what cannot be had here, but fail it where CI is true."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
