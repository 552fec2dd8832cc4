from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from ollama_mcp.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be made: in a folder that is not there yet."""
    return tmp_path / "data" / "store.sqlite3"


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[Store]:
    """A store in a file, closed after the test."""
    store = Store(path)
    yield store
    await store.aclose()
