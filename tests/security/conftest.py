"""Targets of attacks: servers over stdio and HTTP that all of them share."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator

import pytest

from tests.security.target import Servers, Target, attacked, attacked_servers


@pytest.fixture(scope="session")
def attacked_processes() -> Generator[Servers]:
    """The servers that are attacked; each is started by the first attack on it."""
    with attacked_servers() as servers:
        yield servers


@pytest.fixture(params=["stdio", "http"])
async def target(request: pytest.FixtureRequest, attacked_processes: Servers) -> AsyncGenerator[Target]:
    """A server to attack, over each transport."""
    if sys.platform == "win32":
        pytest.skip("pipes, links and HOME are POSIX's")
    async with attacked(attacked_processes, request.param) as target:
        yield target
