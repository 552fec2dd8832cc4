"""Two replicas with one secret: a confirmation that one began goes on at the other, whichever way it is obtained."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from mcp import Client, MCPError
from mcp.types import CallToolResult, Implementation, InputRequiredResult

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server import confirmation_codes, elicitation
from ollama_mcp.settings.secrets import read_secret
from ollama_mcp.simulator import Simulator
from tests.confirmation.user import NO, YES, User, one_round
from tests.fleet.postgres import Postgres
from tests.packaging.conftest import empty_home
from tests.support import connected, error, served, texts
from tests.transports.wire import StdioPeer

MODEL, OTHER, LARGE = "llama3.2:3b", "gemma3:4b", "llama3.1:8b"
DELETE = "ollama_delete_model"
MODERN = "2026-07-28"
SECRET, FOREIGN = "a" * 64, "b" * 64
_CODE = re.compile(r"confirm='([^']+)'")


@asynccontextmanager
async def replicas(
    url: str,
    tmp_path: Path,
    *,
    user: User | None = None,
    name: str = "host",
    secrets: tuple[str, str] = (SECRET, SECRET),
    **settings: Any,
) -> AsyncGenerator[tuple[Client, Client]]:
    """A client at each of two servers over HTTP without sessions, as a balancer makes of one client."""
    async with AsyncExitStack() as stack:
        clients: list[Client] = []
        for number, secret in enumerate(secrets):
            file = tmp_path / f"secret-{number}"
            file.write_text(f"{secret}\n", encoding="utf-8")
            state = {"secret": f"file:{file}"}
            address = await stack.enter_async_context(served(url, stateless=True, state=state, **settings))
            info = Implementation(name=name, version="1")
            client = Client(address, mode=MODERN, client_info=info, elicitation_callback=user)
            clients.append(await stack.enter_async_context(client))
        yield clients[0], clients[1]


def _deleted(simulator: Simulator) -> int:
    return [seen.path for seen in simulator.requests].count("/api/delete")


async def _asked(client: Client) -> str:
    result = await one_round(client, DELETE, {"model": MODEL})
    assert isinstance(result, InputRequiredResult) and result.request_state
    return result.request_state


async def _code(client: Client, model: str = MODEL, **arguments: Any) -> str:
    said = error(await client.call_tool(DELETE, {"model": model, **arguments}), "needs_confirmation")
    found = _CODE.search(said)
    assert found is not None, said
    return found[1]


async def test_the_answer_to_a_form_counts_at_another_replica_once(simulator: Simulator, tmp_path: Path):
    async with replicas(simulator.url, tmp_path, user=User(YES)) as (one, other):
        state = await _asked(one)
        assert MODEL not in state
        done = await one_round(other, DELETE, {"model": MODEL}, answer=YES, state=state)
        assert isinstance(done, CallToolResult) and not done.is_error, done
        assert _deleted(simulator) == 1
        await one.call_tool("ollama_copy_model", {"source": OTHER, "destination": MODEL})
        again = await one_round(other, DELETE, {"model": MODEL}, answer=YES, state=state)
        assert isinstance(again, InputRequiredResult)
        # It is another model now, so that the yes does not cover it anywhere.
        elsewhere = await one_round(one, DELETE, {"model": MODEL}, answer=YES, state=state)
        assert isinstance(elsewhere, InputRequiredResult)
    assert _deleted(simulator) == 1


async def test_a_no_at_another_replica_is_told_as_the_users(simulator: Simulator, tmp_path: Path):
    async with replicas(simulator.url, tmp_path, user=User(NO)) as (one, other):
        state = await _asked(one)
        said = await one_round(other, DELETE, {"model": MODEL}, answer=NO, state=state)
    assert isinstance(said, CallToolResult)
    assert f"This deletes {MODEL}" in error(said, "declined")
    assert not _deleted(simulator)


async def test_a_form_refused_by_the_host_is_known_as_such_at_another_replica(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(elicitation, "HOST_SECONDS", 60.0)
    async with replicas(simulator.url, tmp_path, user=User(NO)) as (one, other):
        state = await _asked(one)
        said = await one_round(other, DELETE, {"model": MODEL}, answer=NO, state=state)
    assert isinstance(said, CallToolResult)
    assert "no user saw it" in error(said, "needs_confirmation")


@pytest.mark.parametrize("change", [{"model": OTHER}, {"model": MODEL, "confirm": True}])
async def test_a_state_counts_for_its_arguments_only(simulator: Simulator, tmp_path: Path, change: dict[str, Any]):
    async with replicas(simulator.url, tmp_path, user=User(YES)) as (one, other):
        state = await _asked(one)
        with pytest.raises(MCPError) as refused:
            await one_round(other, DELETE, change, answer=YES, state=state)
    assert refused.value.error.code == -32602
    assert not _deleted(simulator)


async def test_without_the_same_secret_neither_state_nor_code_counts(simulator: Simulator, tmp_path: Path):
    async with replicas(simulator.url, tmp_path, user=User(YES), secrets=(SECRET, FOREIGN)) as (one, other):
        state = await _asked(one)
        with pytest.raises(MCPError) as refused:
            await one_round(other, DELETE, {"model": MODEL}, answer=YES, state=state)
    assert refused.value.error.code == -32602
    async with replicas(simulator.url, tmp_path, secrets=(SECRET, FOREIGN)) as (one, other):
        await _code(other, confirm=await _code(one))
    assert not _deleted(simulator)


async def test_a_code_confirms_at_another_replica_once(simulator: Simulator, tmp_path: Path):
    async with replicas(simulator.url, tmp_path) as (one, other):
        (tool,) = [tool for tool in (await other.list_tools()).tools if tool.name == DELETE]
        kinds = tool.input_schema["properties"]["confirm"]["anyOf"]
        assert kinds == [{"type": "boolean"}, {"type": "string"}]
        code = await _code(one)
        # The code is for this model, and a plain yes is no code.
        await _code(other, OTHER, confirm=code)
        await _code(other, confirm=True)
        assert not _deleted(simulator)
        done = await other.call_tool(DELETE, {"model": MODEL, "confirm": code})
        assert not done.is_error, texts(done)
        assert _deleted(simulator) == 1
        pull = {"model": MODEL}
        await other.call_tool("ollama_pull_model", pull)
        await _code(other, confirm=code)
    assert _deleted(simulator) == 1


async def test_one_code_covers_all_that_a_call_has_to_ask(simulator: Simulator, tmp_path: Path):
    # What the user made with another program.
    async with connected(simulator.url) as client:
        made = await client.call_tool(
            "ollama_create_model", {"model": LARGE, "from": MODEL, "system": "You are Mario."}
        )
        assert not made.is_error, texts(made)
    async with replicas(simulator.url, tmp_path, limits={"pull_confirm_gb": 1}) as (one, other):
        pull: dict[str, Any] = {"model": LARGE}
        codes: list[str] = []
        for client, what in ((other, "overwritten"), (one, "downloads")):
            said = error(await client.call_tool("ollama_pull_model", pull), "needs_confirmation")
            found = _CODE.search(said)
            assert found is not None and what in said
            pull["confirm"] = found[1]
            codes.append(found[1])
        done = await other.call_tool("ollama_pull_model", pull)
        assert not done.is_error, texts(done)
    assert [len(code.split(".")) for code in codes] == [3, 4]


async def test_a_code_is_for_the_client_that_was_asked(simulator: Simulator, tmp_path: Path):
    async with (
        replicas(simulator.url, tmp_path) as (one, _),
        replicas(simulator.url, tmp_path, name="somebody else") as (_, other),
    ):
        await _code(other, confirm=await _code(one))
    assert not _deleted(simulator)


async def test_a_code_ends_after_ten_minutes(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with replicas(simulator.url, tmp_path) as (one, other):
        code = await _code(one)
        monkeypatch.setattr(confirmation_codes, "_MINUTES", -1)
        monkeypatch.setattr(confirmation_codes, "_SKEW_MINUTES", -1)
        await _code(other, confirm=code)
    assert not _deleted(simulator)


@pytest.mark.parametrize("spoilt", ["", "0" * 7, "1c3f2a0.AAAAAAAAAAAA", "x" * 500, "1c3f2a0." + "é" * 12])
async def test_what_is_no_code_of_ours_deletes_nothing(simulator: Simulator, tmp_path: Path, spoilt: str):
    async with replicas(simulator.url, tmp_path) as (one, _):
        result = await one.call_tool(DELETE, {"model": MODEL, "confirm": spoilt})
    assert result.is_error
    assert not _deleted(simulator)


async def test_over_stdio_a_secret_changes_nothing(simulator: Simulator, tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text(SECRET, encoding="utf-8")
    async with connected(simulator.url, state={"secret": f"file:{file}"}) as client:
        (tool,) = [tool for tool in (await client.list_tools()).tools if tool.name == DELETE]
        assert tool.input_schema["properties"]["confirm"]["type"] == "boolean"
        assert "confirm=true" in error(await client.call_tool(DELETE, {"model": MODEL}), "needs_confirmation")
        assert not (await client.call_tool(DELETE, {"model": MODEL, "confirm": True})).is_error


def test_a_secret_that_is_not_there_or_too_short_stops_the_start(tmp_path: Path):
    short = tmp_path / "short"
    short.write_text("tell nobody", encoding="utf-8")
    for reference, why in (
        ("env:NOT_SET_ANYWHERE", "'NOT_SET_ANYWHERE' is not set"),
        (f"file:{tmp_path / 'none'}", "cannot be read: No such file"),
        (f"file:{short}", "has 11 bytes; a secret has 32 or more"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            read_secret("state.secret", reference, {})
        assert why in str(refused.value) and "setting state.secret" in str(refused.value)
        assert "tell nobody" not in str(refused.value)
    assert read_secret("state.secret", "env:GIVEN", {"GIVEN": f" {SECRET}\n"}) == SECRET.encode()
    assert read_secret("state.secret", "", {}) is None


@contextmanager
def _process(home: Path, ollama: str):
    variables = {**os.environ, **empty_home(home), "OLLAMA_HOST": ollama, "REPLICA_SECRET": SECRET}
    arguments = ("--transport", "http", "--port", "0", "--stateless", "--set", "state.secret=env:REPLICA_SECRET")
    with StdioPeer(*arguments, command=[sys.executable, "-m", "ollama_mcp"], env=variables) as peer:
        yield peer
        peer.process.terminate()
        peer.process.wait(20)


def _address(peer: StdioPeer) -> str:
    begin = "ollama-mcp-server listens at "
    return next(line.removeprefix(begin) for line in iter(peer.next_line, "") if line.startswith(begin))


@pytest.mark.slow
async def test_two_processes_go_on_for_each_other(simulator: Simulator, tmp_path: Path):
    homes = [tmp_path / name for name in ("one", "other")]
    for home in homes:
        home.mkdir()
    with _process(homes[0], simulator.url) as first, _process(homes[1], simulator.url) as second:
        addresses = [await asyncio.to_thread(_address, peer) for peer in (first, second)]
        async with (
            Client(addresses[0], mode=MODERN, elicitation_callback=User(YES)) as one,
            Client(addresses[1], mode=MODERN, elicitation_callback=User(YES)) as other,
        ):
            state = await _asked(one)
            done = await one_round(other, DELETE, {"model": MODEL}, answer=YES, state=state)
            assert isinstance(done, CallToolResult) and not done.is_error, done
        async with Client(addresses[0], mode=MODERN) as one, Client(addresses[1], mode=MODERN) as other:
            done = await other.call_tool(DELETE, {"model": OTHER, "confirm": await _code(one, OTHER)})
            assert not done.is_error, texts(done)
    assert _deleted(simulator) == 2
    assert SECRET not in "".join(first.stderr + second.stderr)


@pytest.mark.slow
async def test_with_one_database_a_yes_counts_at_one_replica_only(
    simulator: Simulator, tmp_path: Path, database_server: Postgres
):
    store = {"url": database_server.url(), "path": str(tmp_path / "s.sqlite3")}
    async with replicas(simulator.url, tmp_path, user=User(YES), store=store) as (one, other):
        await one.call_tool("ollama_copy_model", {"source": MODEL, "destination": "spare"})
        state = await _asked(one)
        done = await one_round(other, DELETE, {"model": MODEL}, answer=YES, state=state)
        assert isinstance(done, CallToolResult) and not done.is_error, done
        # The same model again, which the yes was for.
        await one.call_tool("ollama_copy_model", {"source": "spare", "destination": MODEL})
        assert isinstance(await one_round(one, DELETE, {"model": MODEL}, answer=YES, state=state), InputRequiredResult)
    assert _deleted(simulator) == 1
    async with replicas(simulator.url, tmp_path, store=store) as (one, other):
        code = await _code(one)
        assert not (await other.call_tool(DELETE, {"model": MODEL, "confirm": code})).is_error
        await one.call_tool("ollama_copy_model", {"source": "spare", "destination": MODEL})
        again = await _code(one, confirm=code)
        # What is none of ours leaves nothing.
        forged = f"{code[:-12]}{'A' * 12}"
        assert forged != code
        await _code(one, confirm=forged)
        assert not (await one.call_tool(DELETE, {"model": MODEL, "confirm": again})).is_error
    assert _deleted(simulator) == 3
    with psycopg.connect(store["url"]) as connection:
        kept = connection.execute("SELECT name, value FROM ollama_mcp.meta WHERE name LIKE 'used %'").fetchall()
    assert len(kept) == 3 and not any(state in str(row) or code in str(row) for row in kept)
