from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from ollama_mcp.store import Store
from tests.fleet.postgres import Postgres, postgres


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


@pytest.fixture(scope="session")
def database_server() -> Generator[Postgres]:
    """A PostgreSQL server for the tests of this process."""
    with postgres() as server:
        yield server
