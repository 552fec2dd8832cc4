from typing import Any

import pytest

from ollama_mcp.simulator import Simulator
from tests.support import connected, error

MODEL = "llama3.2:3b"

WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    ("ollama_show_model", {}, ["model is required", "ollama_list_models"]),
    ("ollama_delete_model", {"model": ""}, ["model is empty"]),
    ("ollama_chat", {"model": "a b", "prompt": "x"}, ["model 'a b' is not a model name"]),
    ("ollama_chat", {"model": "m" * 500, "prompt": "x"}, ["is not a model name"]),
    ("ollama_chat", {"model": ["a"], "prompt": "x"}, ["model is", "string"]),
    ("ollama_chat", {"model": MODEL, "prompt": {"a": 1}}, ['prompt is {"a": 1}', "string"]),
    ("ollama_chat", {"model": MODEL, "promt": "x"}, ["ollama_chat has no argument promt", "Did you mean 'prompt'?"]),
    (
        "ollama_decide",
        {"question": "Is it?", "texts": ["a"]},
        ["ollama_decide has no argument question", "Did you mean 'questions'?"],
    ),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "temperature": 0}, ["options: {'temperature': ...}"]),
    (
        "ollama_chat",
        {"model": MODEL, "prompt": "x", "zzz": 0},
        ["ollama_chat has no argument zzz", "It takes: prompt, messages"],
    ),
    ("ollama_chat", {"model": MODEL, "messages": [{"role": "boss"}]}, ["messages[0].role", '"boss"', "'user'"]),
    ("ollama_chat", {"model": MODEL, "messages": [{"role": "user", "text": "x"}]}, ["messages[0].text is unknown"]),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "options": {"temperature": -1}}, ["options.temperature is -1"]),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "options": {"top_logprobs": 21}}, ["from 0 to 20"]),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "options": {"truncate": "perhaps"}}, ["true or false"]),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "options": "hot"}, ["options is", "object"]),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "keep_alive": "5 apples"}, ["keep_alive '5 apples'", "10m"]),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "keep_alive": True}, ["keep_alive is true"]),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "keep_alive": "nan"}, ["keep_alive 'nan' is out of range"]),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "options": {"top_logprobs": True}}, ["from 0 to 20"]),
    ("ollama_generate", {"model": MODEL, "prompt": "x", "context": "[" * 100_000}, ["context[0] is", "integer"]),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "think": 3}, ["think is 3"]),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "format": "xml"}, ['format is "xml"', "'json' or a JSON Schema"]),
    (
        "ollama_chat",
        {"model": MODEL, "prompt": "x", "format": {"name": "string", "age": "number"}},
        ["format is not a usable JSON Schema: it holds no keyword", "Use a JSON Schema such as"],
    ),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "format": {"description": "A person"}}, ["it holds no keyword"]),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "include": ["all"]}, ["include[0]", '"all"', "'thinking'"]),
    ("ollama_chat", {"model": MODEL, "prompt": "x", "tools": [{"description": "d"}]}, ["tools[0].name is required"]),
    ("ollama_embed", {"model": MODEL, "input": ["x"], "dimensions": -1}, ["dimensions is -1", "greater than or equal"]),
    ("ollama_embed", {"model": MODEL, "input": [1.5, {}]}, ["input[1]", "string"]),
    ("ollama_generate", {"model": MODEL, "prompt": "x", "context": ["a"]}, ["context[0]", "integer"]),
    ("ollama_generate", {"model": MODEL, "prompt": ""}, ['prompt is "": it should not be empty']),
    ("ollama_generate", {"model": MODEL, "prompt": "x", "context": [1, -1]}, ["context contains a negative number"]),
    ("ollama_embed", {"model": MODEL, "input": []}, ["input is []: it needs at least 1"]),
    ("ollama_chat", {"model": MODEL, "prompt": "x\ud83d"}, ["cannot be sent", "cut emoji"]),
    ("ollama_generate", {"model": MODEL, "prompt": "x", "raw": "perhaps"}, ['raw is "perhaps"']),
    ("ollama_create_model", {"model": "x", "from": MODEL, "parameters": [1]}, ["parameters", "object"]),
    ("ollama_create_model", {"model": "x", "from": MODEL, "quantize": "Q5"}, ['quantize is "Q5"', "Q4_K_M"]),
    ("ollama_copy_model", {"source": MODEL}, ["destination is required", "new name"]),
    ("ollama_delete_model", {"model": "x@y"}, ["model 'x@y' is not a model name"]),
    ("ollama_list_models", {"capabilty": "vision"}, ["Did you mean 'capability'?"]),
    ("ollama_caht", {}, ["Unknown tool: 'ollama_caht'", "Did you mean ollama_chat?"]),
    ("nothing_like_it", {}, ["Unknown tool", "tools/list"]),
]


@pytest.mark.parametrize(("tool", "arguments", "words"), WRONG)
async def test_a_wrong_argument_gives_field_value_and_what_is_allowed(
    simulator: Simulator, tool: str, arguments: dict[str, Any], words: list[str]
):
    async with connected(simulator.url) as client:
        said = error(await client.call_tool(tool, arguments), "invalid_argument")
        for word in words:
            assert word in said, said
        assert "pydantic" not in said and "Error executing" not in said
        assert not (await client.call_tool("ollama_status", {})).is_error
    assert not [seen for seen in simulator.requests if seen.method == "POST"]


RIGHT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("ollama_generate", {"think": "false"}, {"think": False}),
    ("ollama_generate", {"raw": "true"}, {"raw": True}),
    ("ollama_generate", {"context": "[1, 2]"}, {"context": [1, 2]}),
    ("ollama_generate", {"context": "7"}, {"context": [7]}),
    ("ollama_generate", {"options": '{"seed": "3"}'}, {"options": {"seed": 3}}),
    ("ollama_generate", {"system": 42}, {"system": "42"}),
    ("ollama_generate", {"system": 1.5}, {"system": "1.5"}),
    ("ollama_generate", {"system": 3.14159265}, {"system": "3.14159265"}),
    ("ollama_generate", {"keep_alive": 60}, {"keep_alive": 60}),
    ("ollama_generate", {"keep_alive": "-1"}, {"keep_alive": -1}),
    ("ollama_generate", {"keep_alive": "1h30m"}, {"keep_alive": "1h30m"}),
    ("ollama_generate", {"suffix": None, "think": None}, {}),
    ("ollama_generate", {"model": f" {MODEL} "}, {"model": MODEL}),
    ("ollama_generate", {"system": '{"not": "parsed"}'}, {"system": '{"not": "parsed"}'}),
    ("ollama_generate", {"include": "stats"}, {}),
]


@pytest.mark.parametrize(("tool", "arguments", "sent"), RIGHT)
async def test_what_models_get_wrong_is_put_right_first(
    simulator: Simulator, tool: str, arguments: dict[str, Any], sent: dict[str, Any]
):
    async with connected(simulator.url) as client:
        result = await client.call_tool(tool, {"model": MODEL, "prompt": "Hi", **arguments})
    assert not result.is_error, result
    body = next(seen.json for seen in simulator.requests if seen.path == "/api/generate")
    assert {name: body[name] for name in sent} == sent
    assert "suffix" not in body


async def test_nested_values_are_put_right_too(simulator: Simulator):
    messages = '[{"role": "user", "content": 5, "images": null}]'
    async with connected(simulator.url) as client:
        assert not (await client.call_tool("ollama_chat", {"model": MODEL, "messages": messages})).is_error
    assert simulator.requests[-1].json["messages"] == [{"role": "user", "content": "5"}]
