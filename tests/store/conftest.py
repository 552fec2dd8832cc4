from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from ollama_mcp.store import Store
from tests.fleet.postgres import Postgres, postgres, renew
from tests.store.support import Place


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be made: in a folder that is not there yet."""
    return tmp_path / "data" / "store.sqlite3"


@pytest.fixture
async def file_store(path: Path) -> AsyncGenerator[Store]:
    """A store in a file, closed after the test."""
    store = Store(path)
    yield store
    await store.aclose()


@pytest.fixture(params=["file", "postgres"])
def place(request: pytest.FixtureRequest, path: Path) -> Place:
    """A new place for a store, of each kind: what a store does is the same in both."""
    if request.param == "file":
        return Place(path)
    url: str = request.getfixturevalue("database")
    renew(url)
    return Place(path, url)


@pytest.fixture
async def store(place: Place) -> AsyncGenerator[Store]:
    """A store of each kind, closed after the test."""
    store = place.made()
    yield store
    await store.aclose()


@pytest.fixture(scope="session")
def database_server() -> Generator[Postgres]:
    """A PostgreSQL server for the tests of this process."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def database(database_server: Postgres) -> str:
    """The address of a database whose tables each test makes anew."""
    return database_server.url()
