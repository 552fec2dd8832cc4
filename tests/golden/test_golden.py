"""Each tool's wire definition and one whole result, held to golden files; `make golden` rewrites them.

The tools are found by themselves. One that is not in `CALLS` is called with its required arguments, made up from its
schema.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.cli.tools import wire_definition
from ollama_mcp.server.registry import load_tools
from ollama_mcp.simulator import Answer, CloudSimulator, Simulator
from tests.support import connected

HERE = Path(__file__).parent
UPDATE = bool(os.environ.get("UPDATE_GOLDEN"))
MODEL = "llama3.2:3b"
BLOB = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

NAMES = sorted(load_tools())

# Calls that show what a result looks like; one that needs a confirmation shows the question.
CALLS: dict[str, dict[str, Any]] = {
    "ollama_batch": {"model": MODEL, "input": ["2 + 2", "3 + 3"], "prompt": "Add: {text}", "limit": 1},
    "ollama_chat": {"model": MODEL, "prompt": "2 + 2?", "include": ["thinking", "stats"]},
    "ollama_check_blob": {"digest": BLOB},
    "ollama_search": {"query": "a cat", "texts": ["The cat sleeps.", "Stocks fell."], "k": 2},
    "ollama_compare": {"models": [MODEL, "absent"], "prompt": "2 + 2?"},
    "ollama_copy_model": {"source": MODEL, "destination": "mine"},
    "ollama_create_model": {"model": "pirate", "from": MODEL, "system": "You are a pirate."},
    "ollama_decide": {
        "model": MODEL,
        "texts": ["I want my money back!"],
        "questions": [{"name": "team", "question": "Which team?", "labels": ["billing: refunds", "support: bugs"]}],
    },
    "ollama_delete_model": {"model": MODEL},
    "ollama_evaluate": {
        "examples": str(HERE / "examples.csv"),
        "models": [MODEL],
        "questions": [{"name": "team", "question": "Which team?", "labels": ["billing", "tech"]}],
    },
    "ollama_embed": {"model": "nomic-embed-text", "input": ["a cat", "a dog"]},
    "ollama_embeddings": {"model": "nomic-embed-text", "prompt": ""},
    "ollama_generate": {"model": MODEL, "prompt": "2 + 2 =", "format": {"type": "integer"}},
    "ollama_job": {},
    "ollama_list_models": {},
    "ollama_list_running": {},
    "ollama_load_model": {"model": MODEL},
    "ollama_pull_model": {"model": "smollm2:135m"},
    "ollama_push_blob": {"data": "aGVsbG8="},
    "ollama_push_model": {"model": MODEL},
    "ollama_show_model": {"model": MODEL, "include": ["parameters"]},
    "ollama_status": {},
    "ollama_unload_model": {"all": True},
    "ollama_web_fetch": {"url": "https://example.com"},
    "ollama_web_search": {"query": "ollama", "max_results": 1},
}

# Where an answer must be more than a number.
LETTER = Answer(text=["A"], chances=[{"A": 0.9, "B": 0.1}], prompt_tokens=12, tokens=1)
SCRIPTS = {"ollama_decide": LETTER, "ollama_evaluate": LETTER}

# What differs from run to run: addresses, times, speeds.
_VARIES = [
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "DATE"),
    (re.compile(r"\b\d+(\.\d+)? s\b"), "N s"),
    (re.compile(r'("(?:\w*seconds|tokens_per_second|rows_per_second)\\?": )[\d.]+'), r"\g<1>0"),
    (re.compile(r"\b[\d.e+]+/s\b"), "N/s"),
    (re.compile(r"(?<= \| )\d+\.\d+ \| \d+\.\d+ \| \d+\.\d+(?= \| )"), "N | N | N"),
    (re.compile(r"(?<= \| )[\d.]+ \| [\d.]+(?= \| [\d.]+ [GM]B)"), "N | N"),
    (re.compile(r'("mcp_server_version": )"[^"]+"'), r'\g<1>"VERSION"'),
    (re.compile(r"(ollama-mcp-server )\d[\w.]*"), r"\g<1>VERSION"),
]


def _hold(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    for pattern, instead in _VARIES:
        text = pattern.sub(instead, text)
    if UPDATE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing: run `make golden` and review it"
    assert text == path.read_text(encoding="utf-8"), f"{path.name} has changed: run `make golden` and review it"


async def _definitions(simulator: Simulator) -> dict[str, dict[str, object]]:
    async with connected(simulator.url, tools={"toolsets": ["all"]}) as client:
        return {tool.name: wire_definition(tool) for tool in (await client.list_tools()).tools}


def _required_arguments(schema: dict[str, Any]) -> dict[str, Any]:
    """A value for each required argument of a tool, by its schema."""
    properties = schema["properties"]
    return {name: MODEL if name == "model" else _example(properties[name]) for name in schema["required"]}


def _example(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    kind: str = schema.get("type") or schema["anyOf"][0]["type"]
    if kind == "array":
        return [_example(schema["items"])]
    examples: dict[str, Any] = {"integer": schema.get("minimum", 1), "number": 1.0, "boolean": True, "object": {}}
    return examples.get(kind, "a text")


async def test_every_tool_has_its_golden_files_and_no_more_exist(simulator: Simulator):
    names = set(await _definitions(simulator))
    assert names == set(NAMES) and set(CALLS) <= names
    if not UPDATE:
        for folder in ("tools", "results"):
            assert {path.stem for path in (HERE / folder).glob("*.json")} == names


@pytest.mark.parametrize("name", NAMES)
async def test_the_definition_on_the_wire_is_the_golden_one(simulator: Simulator, name: str):
    _hold(HERE / "tools" / f"{name}.json", (await _definitions(simulator))[name])


@pytest.mark.parametrize("name", NAMES)
async def test_the_whole_result_is_the_golden_one(simulator: Simulator, name: str):
    usual = Answer(text="4", thinking="two and two", prompt_tokens=12, tokens=3)
    simulator.script(MODEL, SCRIPTS.get(name, usual))
    policy, tools = {"push": "confirm"}, {"toolsets": ["all"]}
    files: dict[str, Any] = {"read": {"text_folders": [str(HERE)]}} if name == "ollama_evaluate" else {}
    async with (
        CloudSimulator(keys={"key": "good"}) as cloud,
        connected(simulator.url, api_key="key", cloud_url=cloud.url, policy=policy, tools=tools, **files) as client,
    ):
        if name == "ollama_list_running":
            await client.call_tool("ollama_load_model", {"model": MODEL, "keep_alive": -1})
        arguments = CALLS.get(name)
        if arguments is None:
            (definition,) = [tool for tool in (await client.list_tools()).tools if tool.name == name]
            arguments = _required_arguments(definition.input_schema)
        result = await client.call_tool(name, arguments)
    _hold(HERE / "results" / f"{name}.json", result.model_dump(mode="json", by_alias=True, exclude_none=True))
