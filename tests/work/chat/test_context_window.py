"""A prompt is fitted to the context: num_ctx as seldom as possible, nothing cut in silence."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from mcp import Client

from ollama_mcp.simulator import Answer, Simulator
from ollama_mcp.work.chat.context_window import ContextFit
from tests.support import connected, data, error, texts

MODEL = "llama3.2:3b"
# One token for four bytes, as the simulator counts; our estimate of these words is about the same.
TOKENS_4K = "seven words make some tokens here. " * 500
TOKENS_9K = "seven words make some tokens here. " * 1_050


def num_ctx(simulator: Simulator, path: str = "/api/chat") -> list[int | None]:
    """The num_ctx of each request so far."""
    bodies: list[dict[str, Any]] = [json.loads(seen.body) for seen in simulator.requests if seen.path == path]
    return [body.get("options", {}).get("num_ctx") for body in bodies]


async def ask(client: Client, prompt: str, **more: Any) -> Any:
    return await client.call_tool("ollama_chat", {"model": MODEL, "prompt": prompt, **more})


async def test_a_short_prompt_leaves_num_ctx_alone(simulator: Simulator):
    async with connected(simulator.url) as client:
        await ask(client, "Hi")
        await ask(client, "Hi again")
    assert num_ctx(simulator) == [None, None]


async def test_what_does_not_fit_gets_the_next_power_of_two_and_nothing_is_cut(simulator: Simulator):
    async with connected(simulator.url) as client:
        result = await ask(client, TOKENS_9K)
    assert num_ctx(simulator) == [16_384]
    assert len(texts(result)) == 1
    assert (result.meta or {})["ollama-mcp-server/usage"]["prompt_tokens"] > 9_000


async def test_the_context_is_not_lowered_again_while_the_model_is_loaded(simulator: Simulator):
    async with connected(simulator.url) as client:
        await ask(client, TOKENS_9K)
        await ask(client, "Hi")
    assert num_ctx(simulator) == [16_384, 16_384]


async def test_a_context_that_another_process_asked_for_is_kept(simulator: Simulator):
    async with connected(simulator.url) as client, connected(simulator.url) as other:
        await ask(other, TOKENS_9K)
        await ask(client, "Hi")
    assert num_ctx(simulator) == [16_384, 16_384]


async def test_once_unloaded_the_model_comes_back_as_small_as_it_was(simulator: Simulator):
    async with connected(simulator.url) as client:
        await ask(client, TOKENS_9K)
        await client.call_tool("ollama_unload_model", {"model": MODEL})
        await ask(client, "Hi")
    assert num_ctx(simulator) == [16_384, None]


async def test_a_num_ctx_that_the_caller_names_is_sent_and_held_to(simulator: Simulator):
    async with connected(simulator.url) as client:
        await ask(client, "Hi", options={"num_ctx": 1_024})
        said = error(await ask(client, TOKENS_9K, options={"num_ctx": 1_024}), "too_long")
    assert "takes 1,024 here" in said
    assert "options.num_ctx" in said
    assert num_ctx(simulator) == [1_024]


async def test_a_larger_num_ctx_is_advised_only_where_the_model_has_it():
    given: dict[str, Any] = {"model": "gemma2:2b", "options": {"num_ctx": 1_024}}
    async with Simulator(models=("gemma2:2b",)) as small, connected(small.url) as client:
        never = error(await ask(client, TOKENS_9K * 2, **given), "too_long")
        larger = error(await ask(client, TOKENS_4K, **given), "too_long")
    assert "takes 8,192 here" in never and "the model's own length" in never
    assert "num_ctx" not in never
    assert "takes 1,024 here" in larger and "Raise options.num_ctx, or leave it out" in larger


async def test_a_num_ctx_above_what_a_call_may_choose_is_not_said_to_be_chosen(simulator: Simulator):
    async with connected(simulator.url, limits={"num_ctx": 4_096}) as client:
        said = error(await ask(client, TOKENS_9K, options={"num_ctx": 2_048}), "too_long")
        assert "Raise options.num_ctx." in said and "leave it out" not in said
        assert not (await ask(client, TOKENS_9K, options={"num_ctx": 16_384})).is_error


async def test_a_caller_who_wants_old_messages_left_out_gets_it_so(simulator: Simulator):
    messages = [{"role": "user", "content": TOKENS_9K}, {"role": "assistant", "content": "Yes."}]
    arguments = {"model": MODEL, "messages": [*messages, {"role": "user", "content": "Hi"}]}
    async with connected(simulator.url, limits={"num_ctx": 4_096}) as client:
        error(await client.call_tool("ollama_chat", arguments), "too_long")
        for options in ({"num_ctx": 1_024}, {}):
            cut = await client.call_tool("ollama_chat", {**arguments, "options": {**options, "truncate": True}})
            assert not cut.is_error, texts(cut)
            assert "Ollama cut the prompt" in texts(cut)[1]
    assert num_ctx(simulator) == [1_024, 4_096]
    bodies = [json.loads(seen.body) for seen in simulator.requests if seen.path == "/api/chat"]
    assert [body["truncate"] for body in bodies] == [True, True]


async def test_what_cannot_fit_is_refused_with_figures_before_anything_is_sent(simulator: Simulator):
    async with connected(simulator.url, limits={"num_ctx": 8_192}) as client:
        said = error(await ask(client, TOKENS_9K * 3), "too_long")
    assert "takes 8,192 here" in said
    assert "limits.num_ctx" in said
    assert num_ctx(simulator) == []


async def test_generate_names_chat_as_the_way_out(simulator: Simulator):
    async with connected(simulator.url, limits={"num_ctx": 4_096}) as client:
        said = error(await client.call_tool("ollama_generate", {"model": MODEL, "prompt": TOKENS_9K}), "too_long")
    assert "ollama_chat" in said


async def test_the_carried_context_of_generate_counts(simulator: Simulator):
    async with connected(simulator.url) as client:
        arguments = {"model": MODEL, "prompt": "Go on.", "context": [7] * 5_000}
        assert not (await client.call_tool("ollama_generate", arguments)).is_error
    assert num_ctx(simulator, "/api/generate") == [8_192]


async def test_near_the_limit_the_server_is_told_to_refuse_rather_than_to_cut(simulator: Simulator):
    async with connected(simulator.url) as client:
        await ask(client, "Hi")
        await ask(client, TOKENS_4K)
    bodies = [json.loads(seen.body) for seen in simulator.requests if seen.path == "/api/chat"]
    assert [body.get("truncate") for body in bodies] == [None, False]


async def test_a_prompt_that_the_server_finds_too_long_is_sent_once_more_with_more_room(simulator: Simulator):
    # Lines of one letter: the simulator counts a token for each word, the estimate less.
    prompt = "I a " * 2_600
    async with connected(simulator.url) as client:
        result = await ask(client, prompt)
    sizes = num_ctx(simulator)
    assert not result.is_error, texts(result)
    assert len(texts(result)) == 1
    assert sizes[-1] == max(size or 0 for size in sizes)


async def test_the_real_counts_teach_the_estimate(simulator: Simulator):
    # A model whose tokenizer makes twice as many tokens of a text as is estimated.
    async with connected(simulator.url) as client:
        for _ in range(6):
            simulator.script(MODEL, Answer(text="Yes.", prompt_tokens=1_800))
            await ask(client, "seven words make some tokens here. " * 100)
        simulator.script(MODEL, Answer(text="Yes."))
        await ask(client, "seven words make some tokens here. " * 300)
    # 300 repetitions are estimated at 2,400 tokens, which 4,096 would hold; twice as many it would not.
    assert num_ctx(simulator)[-1] == 8_192


async def test_the_settings_budget_of_an_answer_leaves_room_to_think(simulator: Simulator):
    defaults = {"options": {"num_predict": 100}}
    async with connected(simulator.url, defaults=defaults) as client:
        for more in ({}, {"think": False}, {"options": {"num_predict": 50}}):
            await client.call_tool("ollama_chat", {"model": "qwen3:4b", "prompt": "Hi", **more})
        await ask(client, "Hi")
    bodies = [json.loads(seen.body) for seen in simulator.requests if seen.path == "/api/chat"]
    assert [body["options"]["num_predict"] for body in bodies] == [2_148, 100, 50, 100]


async def test_a_model_that_leaves_the_gpu_for_a_larger_context_is_told(simulator: Simulator):
    async with connected(simulator.url) as client:
        await ask(client, "Hi")
        (runner,) = simulator.machine.scheduler.running()
        simulator.gpu_bytes = runner.size + 1_000
        await client.call_tool("ollama_unload_model", {"model": MODEL})
        await ask(client, "Hi")
        result = await ask(client, TOKENS_9K)
        again = await ask(client, TOKENS_9K)
    assert "is on the GPU" in texts(result)[1]
    assert len(texts(again)) == 1


@pytest.mark.parametrize("version", ["0.5.7", "0.11.10"])
async def test_a_server_too_old_to_refuse_is_not_sent_what_may_not_fit(version: str):
    async with Simulator(version=version) as simulator, connected(simulator.url) as client:
        result = await ask(client, TOKENS_9K)
        assert num_ctx(simulator) == [16_384]
        assert len(texts(result)) == 1


async def test_a_server_that_does_not_show_the_context_is_taken_to_have_its_usual_one():
    async with Simulator(version="0.5.7") as simulator, connected(simulator.url) as client:
        await ask(client, "Hi")
        await ask(client, "seven words make some tokens here. " * 250)
        # 2,000 tokens and an answer do not fit into the 2,048 of servers before v0.6.7.
        assert num_ctx(simulator) == [None, 4_096]


@pytest.mark.parametrize(
    ("tokens", "window", "real", "cut"),
    [
        (9_000, 4_096, 4_096, True),
        (9_000, 16_384, 9_100, False),
        (4_000, 4_096, 3_500, False),
        (9_000, 4_096, 0, False),
    ],
)
def test_a_real_count_far_below_the_estimate_at_a_full_context_means_a_cut(
    tokens: int, window: int, real: int, cut: bool
):
    assert ContextFit(tokens, tokens, window).was_truncated(real) is cut


async def test_where_ollama_cut_anyway_the_answer_says_so():
    async with Simulator(version="0.17.7") as simulator, connected(simulator.url) as client:
        simulator.script(MODEL, Answer(text="Yes.", prompt_tokens=2_000))
        result = await ask(client, TOKENS_4K, options={"num_ctx": 4_096, "truncate": True})
    assert texts(result)[1].startswith("Ollama cut the prompt: it read 2,000 of about ")


async def test_a_context_that_ran_full_while_writing_is_told(simulator: Simulator):
    simulator.script(MODEL, Answer(text="Yes.", prompt_tokens=3_000, tokens=2_000))
    async with connected(simulator.url) as client:
        result = await ask(client, "Hi")
    assert "ran full, so the model forgot its beginning" in texts(result)[1]


async def test_an_answer_that_repeats_itself_to_the_limit_is_told_apart_from_a_long_one(simulator: Simulator):
    loop = "and then he said: " * 60
    simulator.script(MODEL, Answer(text=[loop], done_reason="length"), Answer(text="One two", done_reason="length"))
    async with connected(simulator.url) as client:
        first, second = await ask(client, "Hi"), await ask(client, "Hi")
    assert texts(first)[1].startswith("It repeated itself until the limit")
    assert texts(second)[1].startswith("Cut: the context is full")


async def test_a_cloud_model_is_left_to_the_cloud(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_chat", {"model": "gpt-oss:120b-cloud", "prompt": "Hi"})
    assert num_ctx(simulator) == [None]


async def test_many_calls_at_once_look_once_at_what_is_loaded(simulator: Simulator):
    async with connected(simulator.url) as client:
        await ask(client, "Hi")
        await asyncio.gather(*(ask(client, "Hi") for _ in range(20)))
    # Once before the model was loaded, once after.
    assert [seen.path for seen in simulator.requests].count("/api/ps") == 2


async def test_a_num_predict_that_loads_the_model_anew_says_so(simulator: Simulator):
    large, small = {"options": {"num_predict": 6_000}}, {"options": {"num_predict": 50}}
    async with connected(simulator.url) as client:
        # Nothing is loaded yet, so that nobody is disturbed.
        simulator.script("gemma3:4b", Answer(text="Yes."))
        assert texts(await ask(client, "Hi", **large, model="gemma3:4b")) == ["Yes."]
        simulator.script(MODEL, *[Answer(text="Yes.")] * 4)
        assert texts(await ask(client, "Hi")) == ["Yes."]
        assert texts(await ask(client, "Hi", **small)) == ["Yes."]
        said = texts(await ask(client, "Hi", **large))[-1]
        assert "num_predict 6,000 needs num_ctx 8,192" in said and "for everybody" in said
        # It has that context now.
        assert texts(await ask(client, "Hi", **large)) == ["Yes."]
    assert num_ctx(simulator)[-2:] == [8_192, 8_192]


async def test_a_batch_says_once_that_its_num_predict_loads_the_model_anew(simulator: Simulator):
    async with connected(simulator.url) as client:
        await ask(client, "Hi")
        arguments = {
            "model": MODEL,
            "input": ["a", "b", "c"],
            "prompt": "Say {text}",
            "options": {"num_predict": 6_000},
        }
        notes = data(await client.call_tool("ollama_batch", arguments))["notes"]
    assert len([note for note in notes if "num_predict 6,000 needs num_ctx 8,192" in note]) == 1
