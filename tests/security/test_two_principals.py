"""Two principals of one server: neither learns of the other's tasks, nor of models that it may not see."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import PromptReference, ResourceTemplateReference

from ollama_mcp.simulator import Answer, Simulator
from tests.security.team import ERAS, Era, team_at
from tests.support import data
from tests.tasks.support import AT_ONCE, METHODS, MODERN, Claimed, asked, refused, task_of

MODEL, OTHER = "llama3.2:3b", "qwen3:4b"
LIMITED: dict[str, Any] = {"principals": {"user": {"denied_models": ["llama3.2"]}}}


async def completed(client: Client, value: str = "") -> list[str]:
    """What is offered for the name of a model, by a prompt's argument and by a resource's."""
    found: list[str] = []
    for prompt in (await client.list_prompts()).prompts:
        if "model" in {one.name for one in prompt.arguments or ()}:
            reference = PromptReference(name=prompt.name)
            found += (await client.complete(reference, {"name": "model", "value": value})).completion.values
    for template in (await client.list_resource_templates()).resource_templates:
        reference = ResourceTemplateReference(uri=template.uri_template)
        name = template.uri_template.partition("{")[2].strip("+}")
        found += (await client.complete(reference, {"name": name, "value": value})).completion.values
    return found


async def everything_that_is_shown(client: Client) -> str:
    """What a client sees without naming a model."""
    shown: list[object] = [
        await client.call_tool(tool, {}) for tool in ("ollama_list_models", "ollama_list_running", "ollama_status")
    ]
    resources = [str(one.uri) for one in (await client.list_resources()).resources]
    shown += [await client.read_resource(uri) for uri in resources if "guides" not in uri]
    shown.append(await client.call_tool("ollama_chat", {"model": "no-such-model", "prompt": "Hi"}))
    shown.append(await client.call_tool("ollama_chat", {"model": "llama3.2:3", "prompt": "Hi"}))
    shown += [
        await client.get_prompt(one.name, {}) for one in (await client.list_prompts()).prompts if not one.arguments
    ]
    return "\n".join(map(str, shown)).replace("llama3.2:3'", "").replace('llama3.2:3"', "")


@pytest.mark.parametrize("era", ERAS)
async def test_a_denied_model_is_in_nothing_that_is_shown(simulator: Simulator, tmp_path: Path, era: Era) -> None:
    async with team_at(simulator.url, tmp_path, **LIMITED) as team:
        async with team.client("other", era) as client:
            # It is loaded, used and counted, and every cache is filled with it.
            assert not (await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})).is_error
            assert MODEL in await everything_that_is_shown(client)
            everything = await completed(client)
            assert MODEL in everything
        async with team.client("user", era) as client:
            assert MODEL not in await everything_that_is_shown(client)
            own = await completed(client)
            assert own and MODEL not in own and not await completed(client, "llama3.2:3")
        async with team.client("other", era) as client:
            assert await completed(client) == everything


async def test_the_use_of_models_that_one_may_not_see_is_not_told(simulator: Simulator, tmp_path: Path) -> None:
    async with team_at(simulator.url, tmp_path, **LIMITED) as team:
        async with team.client("other") as client:
            for model in (MODEL, OTHER):
                await client.call_tool("ollama_chat", {"model": model, "prompt": "Hi"})
        async with team.client("user") as client:
            shown = str(await client.read_resource("ollama://usage"))
            assert MODEL not in shown and OTHER in shown
            usage = data(await client.call_tool("ollama_status", {}))["usage"]
            assert usage["this_run"]["local"]["calls"] == 1


async def test_the_tasks_of_another_are_unknown(simulator: Simulator, tmp_path: Path) -> None:
    call: dict[str, Any] = {"model": MODEL, "prompt": "Hi"}
    async with (
        team_at(simulator.url, tmp_path, jobs=AT_ONCE) as team,
        team.client("user", MODERN, extensions=[Claimed()]) as user,
        team.client("other", MODERN, extensions=[Claimed()]) as other,
        team.client("user", MODERN, extensions=[Claimed()]) as again,
    ):
        simulator.script(MODEL, Answer("never", hold=asyncio.Event()))
        task = (await task_of(user, "ollama_generate", {**call, "background": True}))["taskId"]
        for method, more in METHODS:
            error = await refused(other, method, task, **more)
            unknown = await refused(other, method, "j" * len(task), **more)
            assert error.code == unknown.code
            assert error.message.replace(task, "X") == unknown.message.replace("j" * len(task), "X")
        assert not simulator.disconnects
        # Another session of the same token has it.
        assert (await asked(again, "tasks/get", task))["status"] == "working"
        await asked(again, "tasks/cancel", task)
