"""Each error's text leads on: the tools it names are offered and take the arguments that it gives."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mcp.types import Tool

from ollama_mcp.errors import KINDS
from ollama_mcp.server.guidance.guides import REMEDIES
from ollama_mcp.simulator import Answer, Fault, Simulator
from tests.confirmation.user import NO, YES, User, with_user
from tests.guidance.helpers import calls_in
from tests.support import connected, data, error, texts, until

MODEL = "llama3.2:3b"
HI: dict[str, Any] = {"model": MODEL, "prompt": "Hi"}
# A form that the user declines, a folder that vanishes and a fault of our own need more than a host.
BY_THEMSELVES = {"declined", "disk", "internal"}


FLAKY = """
from ollama_mcp import READS, Call, tool

calls = []

@tool(title="Flaky", toolset="system", hints=READS)
async def my_flaky(call: Call) -> str:
    \"\"\"Fail the first time.\"\"\"
    calls.append(call)
    if len(calls) == 1:
        raise KeyError("the first time")
    return "well"
"""


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
    Case(
        "too_long",
        "Set too_long='split'",
        arguments={"model": MODEL, "prompt": "word " * 9_000},
        settings={"limits": {"num_ctx": 2048}},
    ),
    Case("invalid_argument", "ollama_list_models shows them", "ollama_compare", {"models": [MODEL], "prompt": "Hi"}),
    Case("no_answer", "set think=false", script=Answer(thinking="hm", done_reason="length")),
)


def test_all_kinds_are_tried_and_have_a_remedy():
    assert {case.kind for case in CASES} | BY_THEMSELVES == set(KINDS) == set(REMEDIES)


# It takes a lost connection up again by itself for some seconds before it gives in.
PULL = Case(
    "interrupted",
    "Call ollama_pull_model(model='smollm2:135m') again",
    "ollama_pull_model",
    {"model": "smollm2:135m"},
    Fault("reset", "/api/pull", after=3),
)


@pytest.mark.parametrize(
    "case", [*CASES, pytest.param(PULL, marks=pytest.mark.slow)], ids=lambda case: f"{case.kind}-{case.says[:20]}"
)
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


@pytest.mark.usefixtures("quick_users")
async def test_after_a_declined_form_the_user_is_asked_again_only_when_it_is_their_wish(simulator: Simulator):
    user = User(NO, YES)
    async with with_user(simulator.url, user) as client:
        said = error(await client.call_tool("ollama_delete_model", {"model": MODEL}), "declined")
        assert "nothing was done" in said and "do not try again unless they ask for it" in said
        assert MODEL in texts(await client.call_tool("ollama_list_models", {}))[0]
        assert not (await client.call_tool("ollama_delete_model", {"model": MODEL})).is_error


async def test_after_a_folder_vanished_the_call_that_the_error_names_loses_nothing(
    simulator: Simulator, tmp_path: Path
):
    gone = tmp_path / "results"
    gone.mkdir()
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text="ok", hold=gate))
    settings: dict[str, Any] = {"write": {"folders": [str(tmp_path)]}, "work": {"parallel": 1}}
    async with connected(simulator.url, store={"path": str(tmp_path / "kept" / "store.sqlite3")}, **settings) as client:
        order: dict[str, Any] = {"input": ["a", "b"], "prompt": "Say {text}", "model": MODEL}
        batch = asyncio.create_task(client.call_tool("ollama_batch", {**order, "output": str(gone / "out.jsonl")}))
        await until(lambda: any(seen.path == "/api/chat" for seen in simulator.requests))
        shutil.rmtree(gone)
        gate.set()
        said = error(await batch, "disk")
        assert "2 of 2 rows done, which are kept" in said
        gone.mkdir()
        asked = len(simulator.requests)
        again = data(await client.call_tool("ollama_batch", {**order, "output": str(gone / "out.jsonl")}))
    assert again["done"] == 2
    assert "/api/chat" not in [seen.path for seen in simulator.requests[asked:]]


async def test_after_a_fault_of_our_own_a_second_try_may_help(simulator: Simulator, tmp_path: Path):
    # A tool of the user's own is the one public way to a fault in our process.
    (tmp_path / "flaky.py").write_text(FLAKY, encoding="utf-8")
    async with connected(simulator.url, tools={"folders": [str(tmp_path)]}) as client:
        said = error(await client.call_tool("my_flaky", {}), "internal")
        assert "Try once more" in said and "stderr" in said and "the first time" not in said
        assert texts(await client.call_tool("my_flaky", {})) == ["well"]


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
