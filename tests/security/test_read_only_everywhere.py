"""Under read_only no tool changes what the user has, on any transport, in any era, with any token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ollama_mcp.simulator import Simulator
from tests.observation.test_tracing import process
from tests.security.team import ERAS, team_at
from tests.server.test_read_only import ALLOWED, ARGUMENTS, USER_TOOLS, owned
from tests.support import connected, texts

# What the tool of the user would change, and with which keep_alive it would load, unload or pin a model.
CHANGES: list[tuple[str, float | None]] = [
    *((what, None) for what in ("copy", "delete", "blob", "create", "pull", "push", "unload")),
    *((what, value) for what in ("generate", "embed", "embeddings") for value in (0, -1)),
]


def settings(folder: Path, *, read_only: bool = True) -> dict[str, Any]:
    """A server that offers all, the tool of a user too."""
    (folder / "mine").mkdir()
    (folder / "mine" / "mine.py").write_text(USER_TOOLS, encoding="utf-8")
    tools = {"toolsets": ["all"], "folders": [str(folder / "mine")]}
    return {"read_only": read_only, "web": True, "tools": tools, **ALLOWED}


async def call_everything(client: Client, names: set[str]) -> None:
    """Call each tool, offered or not, and everything that the user's own tool would do."""
    for name in sorted(names | ARGUMENTS.keys()):
        await client.call_tool(name, ARGUMENTS.get(name, {}))
    for what, keep_alive in CHANGES:
        result = await client.call_tool("my_change", {"what": what, "keep_alive": keep_alive})
        assert result.is_error and "read_only" in texts(result)[0], (what, keep_alive)


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_over_stdio(simulator: Simulator, tmp_path: Path, era: str):
    before = owned(simulator)
    config = tmp_path / "settings.json"
    config.write_text(json.dumps({**settings(tmp_path), "store": {"path": ":memory:"}}), encoding="utf-8")
    async with process(simulator, tmp_path, "--config", str(config), "--no-cache", era=era) as client:
        await call_everything(client, {tool.name for tool in (await client.list_tools()).tools})
    assert owned(simulator) == before


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_over_http_with_the_token_of_an_admin(simulator: Simulator, tmp_path: Path, kind: Any):
    before = owned(simulator)
    async with team_at(simulator.url, tmp_path, kind=kind, **settings(tmp_path)) as team:
        for era in ERAS if kind == "http" else ERAS[:1]:
            async with team.client("admin", era) as client:
                await call_everything(client, {tool.name for tool in (await client.list_tools()).tools})
    assert owned(simulator) == before


async def test_without_it_the_same_calls_do_change_it(simulator: Simulator, tmp_path: Path):
    before = owned(simulator)
    async with connected(simulator.url, **settings(tmp_path, read_only=False)) as client:
        for what, keep_alive in CHANGES:
            await client.call_tool("my_change", {"what": what, "keep_alive": keep_alive})
    assert owned(simulator) != before
