"""Each error's text leads on: the tools it names are offered and take the arguments that it gives."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from mcp.types import Tool

from ollama_mcp.errors import KINDS
from ollama_mcp.server.guidance.guides import REMEDIES
from ollama_mcp.simulator import Answer, Fault, Simulator
from tests.guidance.helpers import calls_in
from tests.support import connected, error, texts

MODEL = "llama3.2:3b"
HI: dict[str, Any] = {"model": MODEL, "prompt": "Hi"}
# A form that the user declines, a full disk and a fault of our own need more than a host: other tests hold them.
ELSEWHERE = {"declined", "disk", "internal"}


@dataclass(frozen=True)
class Case:
    """A call that fails; `says` is the part of the text that leads on."""

    kind: str
    says: str
    tool: str = "ollama_chat"
    arguments: dict[str, Any] = field(default_factory=lambda: HI)
    fault: Fault | None = None
    version: str = "latest"
    script: Answer | None = None
    is_down: bool = False
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


CASES = (
    Case("unreachable", "Start Ollama", is_down=True),
    Case(
        "timeout",
        "see ollama_list_running",
        fault=Fault("hang", "/api/chat"),
        settings={"timeouts": {"first_byte": 0.2}},
    ),
    Case("interrupted", "ask again", fault=Fault("reset", "/api/chat", after=2)),
    Case(
        "interrupted",
        "Call ollama_pull_model(model='smollm2:135m') again",
        "ollama_pull_model",
        {"model": "smollm2:135m"},
        Fault("reset", "/api/pull", after=3),
    ),
    Case("bad_answer", "put its address into the settings", fault=Fault("redirect", "/api/chat")),
    Case("bad_answer", "Ask for JSON in the prompt", arguments={**HI, "format": "json"}, script=Answer(text="hello")),
    Case("server_error", "Try again", fault=Fault("status", "/api/chat")),
    Case("busy", "Wait a moment", fault=Fault("rate_limited", "/api/chat")),
    Case("unauthorized", "Sign in", fault=Fault("unauthorized", "/api/chat")),
    Case("forbidden", "OLLAMA_ORIGINS", fault=Fault("forbidden", "/api/chat")),
    Case("model_not_found", "Call ollama_list_models", arguments={"model": "llama9", "prompt": "Hi"}),
    Case("model_not_found", "Closest: 'llama3.2:3b'", "ollama_show_model", {"model": "lama3.2"}),
    Case("unsupported", "Installed with 'completion'", arguments={"model": "nomic-embed-text", "prompt": "Hi"}),
    Case("unsupported", "Installed with 'embedding'", "ollama_embed", {"model": MODEL, "input": ["a"]}),
    Case("unsupported_by_version", "Update Ollama", arguments={**HI, "include": ["logprobs"]}, version="0.5.7"),
    Case("invalid_argument", "Did you mean 'temperature'?", arguments={**HI, "options": {"temprature": 1}}),
    Case("invalid_argument", "Call ollama_list_models", "ollama_show_model", {"model": " "}),
    Case("invalid_argument", "ollama_list_running names", "ollama_unload_model", {}),
    Case("invalid_argument", "Did you mean ollama_chat?", "ollama_chatt", HI),
    Case("not_allowed", "policy.registries", "ollama_pull_model", {"model": "evil.example/a/b"}),
    Case("needs_confirmation", "call ollama_delete_model again", "ollama_delete_model", {"model": MODEL}),
    Case(
        "too_long",
        "Raise options.num_ctx",
        arguments={"model": MODEL, "prompt": "word " * 9_000, "options": {"num_ctx": 2048, "truncate": False}},
    ),
    Case("no_answer", "set think=false", script=Answer(thinking="hm", done_reason="length")),
)


def test_all_kinds_are_tried_and_have_a_remedy():
    assert {case.kind for case in CASES} | ELSEWHERE == set(KINDS) == set(REMEDIES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.says[:20]}")
async def test_an_error_says_what_to_do_and_what_it_names_works(case: Case):
    faults = [case.fault] if case.fault else []
    async with Simulator(version=case.version, faults=faults) as simulator:
        if case.script:
            simulator.script(MODEL, case.script)
        if case.is_down:
            await simulator.pause()
        async with connected(simulator.url, **case.settings) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            said = error(await client.call_tool(case.tool, case.arguments), case.kind)
            assert case.says in said
            simulator.faults.clear()
            await simulator.resume()
            for name, arguments in _next_calls(said, case, tools):
                result = await client.call_tool(name, arguments)
                first = texts(result)[0]
                assert not result.is_error or first.startswith("[model_not_found] The registry"), (name, first)


def _next_calls(said: str, case: Case, tools: dict[str, Tool]) -> list[tuple[str, dict[str, Any]]]:
    """The calls that a text gives whole, and the tools that it only names with what they need."""
    whole = calls_in(said)
    named = set(re.findall(r"\bollama_[a-z_]+\b(?!\()", said)) - {case.tool}
    calls = [*whole, *((name, _needed(tools[name], case)) for name in sorted(named))]
    if "confirm=true" in said:
        calls.append((case.tool, {**case.arguments, "confirm": True}))
    return calls


def _needed(tool: Tool, case: Case) -> dict[str, Any]:
    return {name: value for name, value in case.arguments.items() if name in tool.input_schema["properties"]}
