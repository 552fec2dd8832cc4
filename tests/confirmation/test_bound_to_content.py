"""A yes covers the name, the model that has it, and what was asked about: nothing else passes on it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.simulator import Fault, Simulator
from tests.confirmation.user import YES, User, with_user
from tests.contract.gguf_files import language_model
from tests.create.support import allow, create
from tests.support import connected, error, texts, until

GOOD, BAD, TAKEN = "llama3.2:3b", "qwen3:4b", "gemma3:4b"
COPY = "ollama_copy_model"
CREATE = "ollama_create_model"

CHANGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (COPY, {"destination": TAKEN, "source": GOOD}, {"source": BAD}),
    (CREATE, {"model": TAKEN, "from": GOOD}, {"from": BAD}),
    (CREATE, {"model": TAKEN, "from": GOOD, "system": "good"}, {"system": "bad"}),
    (CREATE, {"model": TAKEN, "from": GOOD, "template": "{{ .Prompt }}"}, {"template": "{{ .Prompt }} bad"}),
    (CREATE, {"model": TAKEN, "from": GOOD, "parameters": {"seed": 1}}, {"parameters": {"seed": 2}}),
    (CREATE, {"model": TAKEN, "modelfile": f"FROM {GOOD}\nSYSTEM good"}, {"modelfile": f"FROM {GOOD}\nSYSTEM bad"}),
]


def digest(simulator: Simulator, name: str) -> str:
    model = simulator.store.find(name)
    assert model is not None
    return model.digest


def put(simulator: Simulator, source: str, name: str) -> None:
    """What the user does by themselves: give a name to another model."""
    model = simulator.store.find(source)
    assert model is not None
    simulator.store.add(model.renamed(parse_name(name)))


@pytest.mark.parametrize(("tool", "asked", "other"), CHANGES)
async def test_a_yes_to_one_content_is_none_to_another(
    simulator: Simulator, tool: str, asked: dict[str, Any], other: dict[str, Any]
):
    before = digest(simulator, TAKEN)
    async with connected(simulator.url) as client:
        error(await client.call_tool(tool, asked), "needs_confirmation")
        said = error(await client.call_tool(tool, {**asked, **other, "confirm": True}), "needs_confirmation")
        assert "with the same arguments." in said
        assert digest(simulator, TAKEN) == before
        result = await client.call_tool(tool, {**asked, "confirm": True})
    assert not result.is_error, texts(result)
    assert digest(simulator, TAKEN) != before


async def test_a_source_that_is_replaced_meanwhile_is_another_content(simulator: Simulator):
    async with connected(simulator.url) as client:
        put(simulator, GOOD, "source")
        error(await client.call_tool(COPY, {"source": "source", "destination": TAKEN}), "needs_confirmation")
        put(simulator, BAD, "source")
        again = {"source": "source", "destination": TAKEN, "confirm": True}
        error(await client.call_tool(COPY, again), "needs_confirmation")


async def test_a_name_that_this_process_made_is_the_users_once_they_made_it_anew(simulator: Simulator):
    async with connected(simulator.url) as client:
        wish = {"model": "mine", "from": GOOD, "system": "one"}
        assert not (await client.call_tool(CREATE, wish)).is_error
        # Its own model it may replace unasked.
        assert not (await client.call_tool(CREATE, {**wish, "system": "two"})).is_error
        made = simulator.store.find("mine")
        assert made is not None
        simulator.store.remove(made)
        put(simulator, BAD, "mine")
        for tool, arguments in ((CREATE, wish), (COPY, {"source": GOOD, "destination": "mine"})):
            assert "would be overwritten" in error(await client.call_tool(tool, arguments), "needs_confirmation")
    assert digest(simulator, "mine") == digest(simulator, BAD)


async def test_one_yes_for_a_name_does_not_open_it_for_any_content(simulator: Simulator):
    user = User(YES)
    async with with_user(simulator.url, user) as client:
        for source in (GOOD, BAD):
            assert not (await client.call_tool(COPY, {"source": source, "destination": TAKEN})).is_error
    assert len(user.forms) == 2


async def test_a_model_that_the_user_makes_while_files_are_uploaded_is_not_overwritten(
    simulator: Simulator, tmp_path: Path
):
    (tmp_path / "x.gguf").write_bytes(language_model())
    simulator.faults.add(Fault("delay", path="/api/blobs/*", seconds=0.5))
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        arguments = {"model": "mine", "path": str(tmp_path / "x.gguf")}
        creating = asyncio.create_task(client.call_tool(CREATE, arguments))
        await until(lambda: any(seen.path.startswith("/api/blobs/") for seen in simulator.requests))
        put(simulator, BAD, "mine")
        said = error(await creating, "needs_confirmation")
        assert "was free" in said and "Nothing was created" in said
        assert digest(simulator, "mine") == digest(simulator, BAD)
        error(await create(client, path=str(tmp_path / "x.gguf")), "needs_confirmation")


async def test_a_confirmation_that_comes_first_gets_the_question(simulator: Simulator):
    async with connected(simulator.url) as client:
        said = error(
            await client.call_tool("ollama_delete_model", {"model": GOOD, "confirm": True}), "needs_confirmation"
        )
        assert said.endswith("If the user agrees, call ollama_delete_model again with the same arguments.")
        assert not (await client.call_tool("ollama_delete_model", {"model": GOOD, "confirm": True})).is_error
