from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.support import connected, data, error, text

MODEL = "llama3.2:3b"


def _sent(simulator: Simulator) -> dict[str, Any]:
    return [seen.json for seen in simulator.requests if seen.path == "/api/generate"][-1]


async def test_a_prompt_is_completed_at_the_price_of_one_request_and_a_look_at_what_is_loaded(simulator: Simulator):
    simulator.script(MODEL, Answer(text="there was a fox."))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_generate", {"model": MODEL, "prompt": "Once"})
    assert text(result) == "there was a fox."
    assert [seen.path for seen in simulator.requests] == ["/api/ps", "/api/generate"]


async def test_every_field_of_the_endpoint_goes_through(simulator: Simulator):
    arguments = {
        "model": MODEL,
        "prompt": "Once",
        "system": "s",
        "template": "{{ .Prompt }}",
        "format": "json",
        "think": False,
        "context": [1, 2],
        "options": {"temperature": 0},
        "keep_alive": "5m",
    }
    simulator.script(MODEL, Answer(text="{}"))
    async with connected(simulator.url) as client:
        assert not (await client.call_tool("ollama_generate", arguments)).is_error
    sent = _sent(simulator)
    assert {name: sent[name] for name in arguments} == arguments


async def test_raw_prompts_are_sent_raw(simulator: Simulator):
    async with connected(simulator.url) as client:
        assert not (await client.call_tool("ollama_generate", {"model": MODEL, "prompt": "x", "raw": True})).is_error
    assert _sent(simulator)["raw"] is True


async def test_fill_in_needs_a_model_that_can(simulator: Simulator):
    async with connected(simulator.url) as client:
        arguments = {"model": MODEL, "prompt": "def f(", "suffix": "return 1"}
        words = error(await client.call_tool("ollama_generate", arguments), "unsupported")
    assert "insert" in words


async def test_the_context_comes_back_only_on_request(simulator: Simulator):
    async with connected(simulator.url) as client:
        asked = await client.call_tool("ollama_generate", {"model": MODEL, "prompt": "Once", "include": ["context"]})
        plain = await client.call_tool("ollama_generate", {"model": MODEL, "prompt": "Once"})
    assert all(isinstance(number, int) for number in data(asked)["context"])
    assert plain.structured_content is None


async def test_an_empty_prompt_is_refused_because_it_would_only_load(simulator: Simulator):
    async with connected(simulator.url) as client:
        words = error(await client.call_tool("ollama_generate", {"model": MODEL, "prompt": ""}), "invalid_argument")
    assert words.startswith("[invalid_argument] prompt is")


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_same_seed_gives_the_same_text(simulator: Simulator, seed: int):
    arguments = {"model": MODEL, "prompt": "Once", "options": {"seed": seed, "num_predict": 20}}
    async with connected(simulator.url) as client:
        first = await client.call_tool("ollama_generate", arguments)
        second = await client.call_tool("ollama_generate", arguments)
    assert first.content == second.content


async def test_more_than_the_answer_is_in_the_text_too(simulator: Simulator):
    simulator.script(MODEL, Answer(text="Hi"))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_generate", {"model": MODEL, "prompt": "Once", "include": ["stats"]})
    assert "tokens_per_second" in data(result)["stats"]
    assert "tokens_per_second" in str(result.content[-1])
