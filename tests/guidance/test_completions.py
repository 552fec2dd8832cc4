"""Completion of arguments, through a real client."""

import pytest
from mcp import Client
from mcp.types import Completion, PromptReference, ResourceTemplateReference

from ollama_mcp.server.guidance.guidance import complete_values
from ollama_mcp.simulator import Simulator
from tests.support import connected

CARD = "ollama://models/{+name}"


async def _complete(client: Client, prompt: str, argument: str, typed: str = "") -> Completion:
    return (await client.complete(PromptReference(name=prompt), {"name": argument, "value": typed})).completion


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_model_names_are_completed_with_the_able_ones_first(simulator: Simulator, mode: str):
    async with connected(simulator.url, mode=mode) as client:
        found = await _complete(client, "delegate_task", "model")
    assert found.values == ["gemma3:4b", "qwen3:4b", "llama3.2:3b", "nomic-embed-text:latest"]
    assert (found.total, found.has_more) == (4, False)


async def test_what_was_typed_narrows_the_names(simulator: Simulator):
    async with connected(simulator.url) as client:
        assert (await _complete(client, "delegate_task", "model", "Q")).values == ["qwen3:4b"]
        assert (await _complete(client, "write_modelfile", "model", "lama")).values[0] == "llama3.2:3b"


async def test_the_name_of_a_card_is_completed(simulator: Simulator):
    async with connected(simulator.url) as client:
        ref = ResourceTemplateReference(uri=CARD)
        found = (await client.complete(ref, {"name": "name", "value": "embed"})).completion
    assert found.values == ["nomic-embed-text:latest"]


async def test_every_prompt_argument_answers_and_words_come_from_the_prompt(simulator: Simulator):
    async with connected(simulator.url) as client:
        for prompt in (await client.list_prompts()).prompts:
            for argument in prompt.arguments or []:
                found = await _complete(client, prompt.name, argument.name)
                assert found.values or argument.name in ("image", "query", "file"), (prompt.name, argument.name)
        assert (await _complete(client, "summarize_long_text", "focus", "risk")).values == ["risks"]


@pytest.mark.parametrize(
    ("prompt", "argument"), [("nothing", "model"), ("delegate_task", "nothing"), ("free_memory", "model")]
)
async def test_what_does_not_exist_has_no_values(simulator: Simulator, prompt: str, argument: str):
    async with connected(simulator.url) as client:
        assert (await _complete(client, prompt, argument)).values == []


async def test_an_unknown_template_or_one_that_is_not_offered_has_no_values(simulator: Simulator):
    given = {"name": "name", "value": ""}
    async with connected(simulator.url, tools={"toolsets": ["inference"]}) as client:
        for uri in (CARD, "ollama://x/{y}"):
            assert (await client.complete(ResourceTemplateReference(uri=uri), given)).completion.values == []


async def test_with_the_host_down_there_are_no_values_and_no_error(simulator: Simulator):
    await simulator.stop()
    async with connected(simulator.url) as client:
        assert (await _complete(client, "delegate_task", "model", "l")).values == []


async def test_typing_fast_asks_the_host_once(simulator: Simulator):
    async with connected(simulator.url) as client:
        for typed in ("", "l", "ll", "lla"):
            await _complete(client, "delegate_task", "model", typed)
    assert [seen.path for seen in simulator.requests].count("/api/tags") == 1


def test_beginnings_come_before_parts_and_parts_before_the_inside_and_the_near():
    values = ["codellama:7b", "qwen3:4b", "me/llama:1b", "llama3.2:3b", "lamma:2b"]
    assert complete_values(values, "llama").values == ["llama3.2:3b", "me/llama:1b", "codellama:7b", "lamma:2b"]


def test_at_most_a_hundred_values_come_and_it_says_that_there_are_more():
    found = complete_values([f"model{number}" for number in range(250)], "model")
    assert (len(found.values), found.total, found.has_more) == (100, 250, True)
