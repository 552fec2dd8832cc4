"""Over HTTP, what one client was asked no other can confirm."""

from __future__ import annotations

import pytest
from mcp import Client
from mcp.types import CallToolResult, Implementation

from ollama_mcp.simulator import Simulator
from tests.support import error, served, texts

MODEL = "llama3.2:3b"


async def delete(client: Client, *, confirm: bool) -> CallToolResult:
    return await client.call_tool("ollama_delete_model", {"model": MODEL, "confirm": confirm})


@pytest.mark.parametrize(("mode", "names"), [("legacy", ("a", "a")), ("2026-07-28", ("a", "b"))])
async def test_a_client_cannot_confirm_what_another_was_asked(simulator: Simulator, mode: str, names: tuple[str, str]):
    """A session tells clients apart; without one only the names that they give themselves do."""
    first, second = (Implementation(name=name, version="1") for name in names)
    async with (
        served(simulator.url) as url,
        Client(url, mode=mode, client_info=first) as asked,
        Client(url, mode=mode, client_info=second) as other,
    ):
        error(await delete(asked, confirm=False), "needs_confirmation")
        error(await delete(other, confirm=True), "needs_confirmation")
        assert simulator.store.find(MODEL) is not None
        result = await delete(asked, confirm=True)
        assert not result.is_error, texts(result)
    assert simulator.store.find(MODEL) is None
