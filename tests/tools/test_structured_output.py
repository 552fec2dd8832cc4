"""A `format` that an engine of Ollama can't take as it is: what is sent of it, and what is checked here."""

from typing import Any

import httpx
import pytest

from ollama_mcp.simulator import Answer, Fault, Simulator
from tests.support import connected, data, error, text

MODEL = "llama3.2:3b"
VERSIONS = ("0.5.7", "0.17.7", "0.33.0")
# A reference to the root, a look at nothing in particular, a tuple's end, and a pattern that may stand anywhere.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "pair": {"type": "array", "prefixItems": [{"type": "integer"}], "items": False},
        "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        "code": {"type": "string", "pattern": "[0-9]"},
        "step": {"type": "integer", "multipleOf": 5},
        "more": True,
    },
    "required": ["pair", "code"],
}
ANSWER = '{"pair": [1], "next": null, "code": "a1", "step": 10, "more": "x"}'


async def _ask(simulator: Simulator, answer: str, tool: str = "ollama_chat") -> Any:
    simulator.script(MODEL, Answer(text=answer))
    async with connected(simulator.url) as client:
        return await client.call_tool(tool, {"model": MODEL, "prompt": "Go", "format": SCHEMA})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tool", ["ollama_chat", "ollama_generate"])
async def test_a_schema_that_ollama_refuses_is_sent_as_far_as_it_takes_it(version: str, tool: str):
    async with Simulator(version=version) as simulator:
        message: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Go"}], "format": SCHEMA}
        async with httpx.AsyncClient() as http:
            refused = await http.post(f"{simulator.url}/api/chat", json={**message, "stream": False})
        assert refused.status_code in (400, 500) and "JSON schema" in refused.text
        result = await _ask(simulator, ANSWER, tool)
    assert data(result)["value"]["pair"] == [1]
    assert f"Ollama {version} can't hold a model to these parts of the format, checked here: /step multipleOf" in str(
        [block.text for block in result.content]
    )


async def test_what_was_left_out_is_checked(simulator: Simulator):
    message = error(await _ask(simulator, ANSWER.replace("10", "11")), "bad_answer")
    assert "at /step: 11 is not a multiple of 5" in message


async def test_a_batch_says_once_what_is_only_checked(simulator: Simulator):
    simulator.script(MODEL, Answer(text=ANSWER), Answer(text=ANSWER))
    async with connected(simulator.url) as client:
        arguments = {"model": MODEL, "prompt": "{text}", "input": ["a", "b"], "format": SCHEMA}
        result = await client.call_tool("ollama_batch", arguments)
    assert str(data(result)["notes"]).count("checked here: /step multipleOf") == 1


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"$id": "https://example.org/a", "type": "integer"}, "3"),
        ({"type": "array", "items": [{"type": "integer"}, {"type": "boolean"}]}, "[1, true]"),
        ({"type": "integer", "minimum": 2, "exclusiveMinimum": True}, "3"),
    ],
)
async def test_schemas_of_older_drafts_are_taken(simulator: Simulator, schema: dict[str, Any], answer: str):
    simulator.script(MODEL, Answer(text=answer))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Go", "format": schema})
    assert text(result).startswith(answer) and not result.is_error


async def test_a_format_of_a_string_is_checked(simulator: Simulator):
    schema = {"type": "object", "properties": {"to": {"type": "string", "format": "email"}}}
    simulator.script(MODEL, Answer(text='{"to": "nobody"}'))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Go", "format": schema})
    assert 'at /to: "nobody" is not a "email"' in error(result, "bad_answer")


@pytest.mark.parametrize(("status", "said"), [(400, "failed to parse grammar"), (500, "invalid JSON schema in format")])
async def test_a_grammar_that_fails_all_the_same_gets_advice_that_can_be_followed(
    simulator: Simulator, status: int, said: str
):
    simulator.faults.add(Fault("status", path="/api/chat", status=status, text=said))
    message = error(await _ask(simulator, ANSWER), "invalid_argument")
    assert "can't make a grammar of the format" in message and "Simplify the schema" in message
