"""Small tasks, each with the calls that a good agent makes: the outcome and their number are held.

The agent takes names and next steps out of what it was shown, so a text that leads nowhere fails here.
"""

from pathlib import Path
from typing import Any

from PIL import Image

from ollama_mcp.simulator import Answer, Simulator
from tests.agent.agent import Agent, Host, first_model, found
from tests.support import connected

CHAT = "llama3.2:3b"
THINKER = "qwen3:4b"


async def test_ask_a_question(agent: Agent, simulator: Simulator):
    simulator.script(CHAT, Answer(text="Paris."))
    assert await agent.call("ollama_chat", model=CHAT, prompt="Capital of France?") == "Paris."
    assert len(agent.calls) == 1


async def test_ask_without_knowing_any_model(agent: Agent, simulator: Simulator):
    simulator.script("*", Answer(text="Yes."))
    seen = await agent.call("ollama_chat", prompt="Well?")
    assert seen.startswith("Yes.\nChose gemma3:4b (") and "name a model to use another" in seen
    assert len(agent.calls) == 1


async def test_name_a_model_for_a_job_by_what_it_can_do(agent: Agent, simulator: Simulator):
    simulator.script("*", Answer(text="Yes."))
    model = first_model(await agent.call("ollama_list_models", capability="thinking"))
    assert await agent.call("ollama_chat", model=model, prompt="Well?") == "Yes."
    assert len(agent.calls) == 2


async def test_describe_an_image(agent: Agent, simulator: Simulator, tmp_path: Path):
    picture = tmp_path / "receipt.png"
    Image.new("RGB", (64, 64), "white").save(picture)
    simulator.script("vision", Answer(text="A receipt over 3 EUR."))
    model = first_model(await agent.call("ollama_list_models", capability="vision"))
    seen = await agent.call("ollama_chat", model=model, prompt="What is this?", images=[str(picture)])
    assert seen.startswith("A receipt over 3 EUR.")
    assert len(agent.calls) == 2


async def test_send_an_image_to_a_blind_model_and_take_the_one_that_the_error_names(
    agent: Agent, simulator: Simulator, tmp_path: Path
):
    picture = tmp_path / "cat.png"
    Image.new("RGB", (64, 64), "white").save(picture)
    simulator.script("vision", Answer(text="A cat."))
    seen = await agent.fails("ollama_chat", model=CHAT, prompt="What is this?", images=[str(picture)])
    able = found(r"Installed with 'vision': ([\w.:-]+[\w])", seen)
    assert "A cat." in await agent.call("ollama_chat", model=able, prompt="What is this?", images=[str(picture)])
    assert len(agent.calls) == 2


async def test_extract_checked_json(agent: Agent, simulator: Simulator):
    simulator.script(CHAT, Answer(text='{"sender": "Ada", "total": 3.5}'))
    schema = {
        "type": "object",
        "properties": {"sender": {"type": "string"}, "total": {"type": "number"}},
        "required": ["sender", "total"],
    }
    seen = await agent.call("ollama_chat", model=CHAT, prompt="Invoice by Ada over 3.5", format=schema)
    assert '"sender": "Ada"' in seen and "3.5" in seen
    assert len(agent.calls) == 1


async def test_ask_again_when_the_json_does_not_fit(agent: Agent, simulator: Simulator):
    simulator.script(CHAT, Answer(text='{"age": "old"}'), Answer(text='{"age": 40}'))
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    seen = await agent.fails("ollama_chat", model=CHAT, prompt="Age?", format=schema)
    assert "at /age" in seen and '{"age": "old"}' in seen
    assert "40" in await agent.call("ollama_chat", model=CHAT, prompt="Age, as a whole number?", format=schema)
    assert len(agent.calls) == 2


async def test_get_over_a_misspelt_model(agent: Agent, simulator: Simulator):
    simulator.script(CHAT, Answer(text="Hello."))
    close = found(r"Closest: '([^']+)'", await agent.fails("ollama_chat", model="lama3.2", prompt="Hi"))
    assert await agent.call("ollama_chat", model=close, prompt="Hi") == "Hello."
    assert len(agent.calls) == 2


async def test_download_a_missing_model_that_the_user_wants_and_use_it(agent: Agent, simulator: Simulator):
    simulator.script("smollm2:135m", Answer(text="Tiny."))
    seen = await agent.fails("ollama_chat", model="smollm2:135m", prompt="Hi")
    wanted = found(r"ollama_pull_model\(model='([^']+)'\)", seen)
    await agent.call("ollama_pull_model", model=wanted)
    assert await agent.call("ollama_chat", model=wanted, prompt="Hi") == "Tiny."
    assert len(agent.calls) == 3


async def test_delete_a_model_after_the_users_yes(agent: Agent, simulator: Simulator):
    seen = await agent.fails("ollama_delete_model", model=THINKER)
    assert seen.startswith("[needs_confirmation]") and "2.5 GB" in seen
    assert "deleted" in await agent.call("ollama_delete_model", model=THINKER, confirm=True)
    assert THINKER not in await agent.call("ollama_list_models")
    assert len(agent.calls) == 3


async def test_rename_a_model(agent: Agent):
    await agent.call("ollama_copy_model", source=CHAT, destination="helper")
    await agent.fails("ollama_delete_model", model=CHAT)
    await agent.call("ollama_delete_model", model=CHAT, confirm=True)
    seen = await agent.call("ollama_list_models")
    assert "helper" in seen and CHAT not in seen
    assert len(agent.calls) == 4


async def test_rank_texts_by_meaning(agent: Agent):
    model = first_model(await agent.call("ollama_list_models", capability="embedding"))
    texts = ["refund of a payment", "payment refund", "the weather in Paris"]
    seen = await agent.call("ollama_embed", model=model, input=texts)
    nearest = found(r'"a": (\d, "b": \d)', seen) if agent.host == "structured" else found(r"\n(\d \| \d) \|", seen)
    assert nearest in ('0, "b": 1', "0 | 1")
    assert len(agent.calls) == 2


async def test_run_a_tool_for_a_local_model(agent: Agent, simulator: Simulator):
    call = {"name": "get_weather", "arguments": {"city": "Paris"}}
    simulator.script(CHAT, Answer(tool_calls=[call]), Answer(text="Take an umbrella."))
    tools = [{"name": "get_weather", "description": "Weather of a city.", "parameters": {"type": "object"}}]
    seen = await agent.call("ollama_chat", model=CHAT, prompt="What to wear in Paris?", tools=tools)
    assert "get_weather" in seen and '"city": "Paris"' in seen
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "What to wear in Paris?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_name": "get_weather", "content": "rain"},
    ]
    assert await agent.call("ollama_chat", model=CHAT, messages=turns, tools=tools) == "Take an umbrella."
    assert len(agent.calls) == 2


async def test_continue_a_conversation(agent: Agent, simulator: Simulator):
    simulator.script(CHAT, Answer(text="Ada."), Answer(text="1815."))
    name = await agent.call("ollama_chat", model=CHAT, prompt="Who wrote the first program?")
    turns = [
        {"role": "user", "content": "Who wrote the first program?"},
        {"role": "assistant", "content": name},
        {"role": "user", "content": "Born when?"},
    ]
    assert await agent.call("ollama_chat", model=CHAT, messages=turns) == "1815."
    assert len(agent.calls) == 2


async def test_free_memory(agent: Agent):
    await agent.call("ollama_load_model", model=CHAT, keep_alive=-1)
    loaded = first_model(await agent.call("ollama_list_running"))
    await agent.call("ollama_unload_model", model=loaded)
    assert CHAT not in await agent.call("ollama_list_running")
    assert len(agent.calls) == 4


async def test_make_a_model_of_ones_own_and_use_it(agent: Agent, simulator: Simulator):
    await agent.call("ollama_create_model", **{"model": "pirate", "from": CHAT, "system": "You are a pirate."})
    simulator.script("pirate", Answer(text="Arr."))
    assert await agent.call("ollama_chat", model="pirate", prompt="Hi") == "Arr."
    assert len(agent.calls) == 2


async def test_a_taken_name_is_overwritten_only_with_the_users_yes(agent: Agent):
    wish = {"model": THINKER, "from": CHAT, "system": "Be brief."}
    assert "would be overwritten" in await agent.fails("ollama_create_model", **wish)
    await agent.call("ollama_create_model", **wish, confirm=True)
    assert "Be brief." in await agent.call("ollama_show_model", model=THINKER, include=["system"])
    assert len(agent.calls) == 3


async def test_find_out_why_nothing_answers(agent: Agent, simulator: Simulator):
    simulator.script(CHAT, Answer(text="Back."))
    await simulator.pause()
    assert "Start Ollama" in await agent.fails("ollama_chat", model=CHAT, prompt="Hi")
    assert "unreachable" in await agent.call("ollama_status")
    await simulator.resume()
    assert await agent.call("ollama_chat", model=CHAT, prompt="Hi") == "Back."
    assert len(agent.calls) == 3


async def test_get_the_rest_of_a_cut_answer(agent: Agent, simulator: Simulator):
    simulator.script(CHAT, Answer(text="one two", done_reason="length", tokens=2), Answer(text="one two three six"))
    seen = await agent.call("ollama_chat", model=CHAT, prompt="Count", options={"num_predict": 2})
    assert "raise options.num_predict" in seen and "six" not in seen
    assert "six" in await agent.call("ollama_chat", model=CHAT, prompt="Count", options={"num_predict": 100})
    assert len(agent.calls) == 2


async def test_get_an_answer_out_of_a_model_that_only_thinks(agent: Agent, simulator: Simulator):
    simulator.script(THINKER, Answer(thinking="let me see", done_reason="length"), Answer(text="42"))
    assert "set think=false" in await agent.fails("ollama_chat", model=THINKER, prompt="6 * 7?")
    assert await agent.call("ollama_chat", model=THINKER, prompt="6 * 7?", think=False) == "42"
    assert len(agent.calls) == 2


async def test_fit_a_long_text_into_the_context(agent: Agent, simulator: Simulator):
    text = "word " * 4_000
    simulator.script(CHAT, Answer(text="Words."))
    seen = await agent.fails("ollama_chat", model=CHAT, prompt=text, options={"num_ctx": 2048})
    assert "leave it out and it is chosen" in seen
    assert (await agent.call("ollama_chat", model=CHAT, prompt=text)).startswith("Words.")
    assert len(agent.calls) == 2


async def test_correct_a_misspelt_option(agent: Agent):
    seen = await agent.fails("ollama_chat", model=CHAT, prompt="Hi", options={"temprature": 0})
    option = found(r"Did you mean '(\w+)'", seen)
    await agent.call("ollama_chat", model=CHAT, prompt="Hi", options={option: 0})
    assert len(agent.calls) == 2


async def test_fill_a_gap_in_code(host: Host):
    async with Simulator(models=["chat", "insert"]) as simulator, connected(simulator.url) as client:
        simulator.script("insert", Answer(text="return a + b"))
        agent = Agent(client, host)
        model = first_model(await agent.call("ollama_list_models", capability="insert"))
        seen = await agent.call("ollama_generate", model=model, prompt="def add(a, b):\n    ", suffix="\n")
        assert seen == "return a + b"
        assert len(agent.calls) == 2


async def test_in_read_only_there_is_nothing_to_delete_with_and_the_instructions_say_so(
    simulator: Simulator, host: Host
):
    async with connected(simulator.url, read_only=True) as client:
        agent = Agent(client, host)
        assert "Read-only" in (client.instructions or "")
        assert "is not offered by this server's settings" in await agent.fails(
            "ollama_delete_model", model=CHAT, confirm=True
        )
        assert CHAT in await agent.call("ollama_list_models")
        assert len(agent.calls) == 2


async def test_follow_a_prompt_to_its_end(agent: Agent, simulator: Simulator):
    simulator.script("gemma3:4b", Answer(text="Bonjour."))
    result = await agent.client.get_prompt("delegate_task", {"task": "Translate to French: good morning"})
    text = str(result.messages[0].content)
    model = found(r'First call: `ollama_chat\(model="([^"]+)"', text)
    assert await agent.call("ollama_chat", model=model, prompt="Translate to French: good morning") == "Bonjour."
    assert len(agent.calls) == 1
