"""The tokens of a day are one budget: over sessions, protocols, transports, restarts and servers with one store."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ollama_mcp.simulator import Answer, Simulator
from tests.security.team import ERAS, team_at
from tests.support import error, texts, until

MODEL = "llama3.2:3b"
CALL: dict[str, Any] = {"model": MODEL, "prompt": "word " * 60}


def given(folder: Path, tokens: int = 60, **more: Any) -> dict[str, Any]:
    """Settings of a server with its store in a folder, where the user has so many tokens a day."""
    return {"principals": {"user": {"tokens_per_day": tokens}}, "store": {"path": str(folder / "s.sqlite3")}, **more}


async def is_used_up(client: Client) -> bool:
    """Whether a small call is refused, for the right reason."""
    result = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})
    if result.is_error:
        assert "tokens today; its limit is" in error(result, "busy")
    return result.is_error


def kept(folder: Path) -> list[tuple[str, int]]:
    """What the store holds."""
    with sqlite3.connect(folder / "s.sqlite3") as connection:
        found = connection.execute("SELECT name, tokens FROM spending ORDER BY name").fetchall()
    connection.close()
    return found


@pytest.mark.parametrize("stateless", [False, True])
async def test_one_budget_for_all_sessions_of_both_protocols(
    simulator: Simulator, tmp_path: Path, stateless: bool
) -> None:
    async with team_at(simulator.url, tmp_path, stateless=stateless, **given(tmp_path)) as team:
        async with team.client("user", "legacy") as client:
            assert not (await client.call_tool("ollama_chat", CALL)).is_error
        for era in ERAS:
            async with team.client("user", era) as client:
                assert await is_used_up(client)
            async with team.client("other", era) as client:
                assert not await is_used_up(client)


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_restart_sets_nothing_back(simulator: Simulator, tmp_path: Path, read_only: bool) -> None:
    chosen = given(tmp_path, read_only=read_only)
    async with team_at(simulator.url, tmp_path / "1", **chosen) as team, team.client("user") as client:
        assert not (await client.call_tool("ollama_chat", CALL)).is_error
    ((name, tokens),) = kept(tmp_path)
    assert name == "user" and tokens >= 60
    # Another transport, and another token of the same name.
    async with team_at(simulator.url, tmp_path / "2", kind="sse", **chosen) as team:
        async with team.client("user") as client:
            assert await is_used_up(client)
        async with team.client("other") as client:
            assert not await is_used_up(client)


async def test_an_answer_that_breaks_off_is_counted(simulator: Simulator, tmp_path: Path) -> None:
    simulator.script(MODEL, Answer(["word "] * 40, no_done=True))
    async with team_at(simulator.url, tmp_path, **given(tmp_path)) as team, team.client("user") as client:
        error(await client.call_tool("ollama_chat", CALL), "interrupted")
        assert await is_used_up(client)


async def test_yesterdays_tokens_are_no_longer_counted(simulator: Simulator, tmp_path: Path) -> None:
    async with team_at(simulator.url, tmp_path / "1", **given(tmp_path)) as team, team.client("user") as client:
        await client.call_tool("ollama_chat", CALL)
    with sqlite3.connect(tmp_path / "s.sqlite3") as connection:
        connection.execute("UPDATE spending SET day = day - 1")
    connection.close()
    async with team_at(simulator.url, tmp_path / "2", **given(tmp_path)) as team, team.client("user") as client:
        assert not await is_used_up(client)


@pytest.mark.slow
async def test_servers_with_one_store_share_the_budget(simulator: Simulator, tmp_path: Path) -> None:
    chosen = given(tmp_path, tokens=1_000_000)
    async with (
        team_at(simulator.url, tmp_path / "1", **chosen) as one,
        team_at(simulator.url, tmp_path / "2", **chosen) as two,
        one.client("user") as first,
        two.client("user") as second,
    ):
        assert not await is_used_up(first) and not await is_used_up(second)
        simulator.script(MODEL, Answer("a", tokens=1, prompt_tokens=1_000_000))
        assert not (await first.call_tool("ollama_chat", CALL)).is_error
        async with asyncio.timeout(60):
            # The other learns of it with the next of its own that is written.
            while not await is_used_up(second):
                pass


async def test_a_store_that_cannot_be_written_does_not_lift_the_budget(simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "s.sqlite3").mkdir()
    async with team_at(simulator.url, tmp_path, **given(tmp_path)) as team, team.client("user") as client:
        assert not (await client.call_tool("ollama_chat", CALL)).is_error
        assert await is_used_up(client)


async def test_without_a_limit_nobody_is_noted(simulator: Simulator, tmp_path: Path) -> None:
    store: dict[str, Any] = {"store": {"path": str(tmp_path / "s.sqlite3")}}
    async with team_at(simulator.url, tmp_path, **store) as team, team.client("user") as client:
        said = await client.call_tool("ollama_chat", CALL)
        assert not said.is_error, texts(said)
    await until(lambda: (tmp_path / "s.sqlite3").exists(), 60)
    assert kept(tmp_path) == []
