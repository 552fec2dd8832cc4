"""A pull takes no name from a model that was created here without asking; models of a registry it updates at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp import Client
from mcp.types import CallToolResult

from ollama_mcp.simulator import Simulator
from ollama_mcp.simulator.scheduler import Latency
from tests.confirmation.user import NO, YES, User, with_user
from tests.contract.gguf_files import language_model
from tests.create.support import allow, create
from tests.support import connected, error, texts

pytestmark = pytest.mark.usefixtures("quick_pulls")
NAME = "llama3.1:8b"
BASE = "llama3.2:3b"


async def pull(client: Client, **more: object) -> CallToolResult:
    return await client.call_tool("ollama_pull_model", {"model": NAME, **more})


async def _made(url: str, folder: Path, base: str) -> None:
    """What the user does by themselves, with another program: give the name to a model of their own."""
    async with connected(url, read=allow(folder), policy={"overwrite": "allow"}) as other:
        given = {"base": BASE, "system": "You are Mario."} if base else {"path": str(folder / "x.gguf")}
        result = await create(other, model=NAME, **given)
        assert not result.is_error, texts(result)


def _pulled(simulator: Simulator) -> bool:
    return any(seen.path == "/api/pull" for seen in simulator.requests)


@pytest.mark.parametrize("version", ["0.5.7", "0.17.7", "latest"])
@pytest.mark.parametrize("base", [BASE, ""], ids=["from another model", "from a file"])
async def test_a_model_that_was_created_here_is_replaced_after_a_yes_only(tmp_path: Path, version: str, base: str):
    (tmp_path / "x.gguf").write_bytes(language_model())
    async with Simulator(version=version, latency=Latency(transfer=2e10)) as simulator:
        await _made(simulator.url, tmp_path, base)
        async with connected(simulator.url) as client:
            said = error(await pull(client), "needs_confirmation")
            assert f"created here from {base or 'a file'}" in said and "overwritten by the registry's model" in said
            assert not _pulled(simulator)
            result = await pull(client, confirm=True)
            assert not result.is_error, texts(result)
            # Now it is the registry's, and an update is no loss.
            assert not (await pull(client)).is_error


async def test_the_form_asks_and_no_keeps_the_model(simulator: Simulator, tmp_path: Path):
    await _made(simulator.url, tmp_path, BASE)
    for answer in (NO, YES):
        user = User(answer)
        async with with_user(simulator.url, user) as client:
            result = await pull(client)
        assert result.is_error is (answer is NO) and _pulled(simulator) is (answer is YES)
        assert len(user.questions) == 1 and user.questions[0].endswith("Overwrite it?")


async def test_what_this_server_made_is_replaced_at_once_and_the_setting_counts(simulator: Simulator, tmp_path: Path):
    async with connected(simulator.url) as client:
        assert not (await create(client, model=NAME, base=BASE, system="x")).is_error
        assert not (await pull(client)).is_error
    await _made(simulator.url, tmp_path, BASE)
    async with connected(simulator.url, policy={"overwrite": "deny"}) as client:
        assert "policy.overwrite" in error(await pull(client), "not_allowed")
    async with connected(simulator.url, policy={"overwrite": "allow"}) as client:
        assert not (await pull(client)).is_error


async def test_a_model_of_the_registry_is_updated_unasked(simulator: Simulator):
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_pull_model", {"model": BASE})
    assert not result.is_error, texts(result)


async def test_two_questions_of_one_call_need_two_answers_and_no_more(simulator: Simulator, tmp_path: Path):
    await _made(simulator.url, tmp_path, BASE)
    async with connected(simulator.url, limits={"pull_confirm_gb": 1}) as client:
        assert "overwritten" in error(await pull(client), "needs_confirmation")
        assert "downloads" in error(await pull(client, confirm=True), "needs_confirmation")
        result = await pull(client, confirm=True)
    assert not result.is_error, texts(result)
