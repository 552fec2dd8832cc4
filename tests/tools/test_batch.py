"""ollama_batch as its callers meet it: its cost, its hints, as a job, in both eras of the protocol."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ollama_mcp.cli.tools import tool_list_tokens
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.simulator import Answer, Simulator
from ollama_mcp.store import Store
from tests.support import connected, data, error, until
from tests.work.batch.batching import MODEL, batching, settings_of

BOTH = {"input": ["one", "two"], "prompt": "{text}", "model": MODEL}


async def test_its_place_in_the_list_is_cheap_and_honest(simulator: Simulator):
    async with connected(simulator.url) as client:
        tool = next(tool for tool in (await client.list_tools()).tools if tool.name == "ollama_batch")
    assert tool_list_tokens(tool) <= 325
    hints = tool.annotations
    assert hints and (hints.read_only_hint, hints.destructive_hint, hints.open_world_hint) == (False, True, False)
    assert tool.input_schema["required"] == ["input"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_few_rows_without_output_come_back_in_the_result(simulator: Simulator, mode: str):
    simulator.script(MODEL, *[Answer(text="done")] * 2)
    async with connected(simulator.url, mode=mode) as client:
        report = data(await client.call_tool("ollama_batch", BOTH))
    assert report["samples"] == [{"row": 1, "output": "done"}, {"row": 2, "output": "done"}]
    assert "output" not in report


async def test_a_long_batch_is_a_job_that_says_how_far_it_is(simulator: Simulator, tmp_path: Path):
    gate = asyncio.Event()
    async with batching(simulator, tmp_path, work={"parallel": 1}) as bench:
        simulator.script(MODEL, *[Answer(text="ok")] * 2, Answer(text="ok", hold=gate))
        begun = data(await bench.batch([f"text {n}" for n in range(9)], output="out.jsonl", background=True))
        await until(lambda: len(bench.prompts()) == 3, seconds=60)
        status = data(await bench.client.call_tool("ollama_job", {"action": "list"}))
        assert status["jobs"][0]["so_far"].startswith("2 of 9, ")
        gate.set()
        ended = data(await bench.client.call_tool("ollama_job", {"action": "result", "id": begun["job"]}))
    assert ended["done"] == 9
    assert len(bench.rows()) == 9


async def test_a_model_that_is_not_installed_is_told_before_anything_runs(simulator: Simulator):
    async with connected(simulator.url) as client:
        said = error(await client.call_tool("ollama_batch", {**BOTH, "model": "nothing"}), "model_not_found")
    assert "nothing" in said
    assert not [seen for seen in simulator.requests if seen.path == "/api/chat"]


async def test_a_model_without_vision_is_told_before_any_image_goes_out(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path) as bench:
        for name in ("a.png", "b.png"):
            bench.write(name, b"\x89PNG\r\n\x1a\n")
        error(await bench.batch([str(bench.folder / "*.png")], prompt="What?", output="out.jsonl"), "unsupported")
    assert bench.prompts() == []


async def test_over_http_no_path_is_taken_where_the_settings_do_not_allow_it(simulator: Simulator, tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "in.txt").write_text("a\nb\n", encoding="utf-8")
    settings = {**settings_of(folder, tmp_path), "transport": "http"}
    async with connected(simulator.url, **settings) as client:
        given = {**BOTH, "input": [str(folder / "in.txt")]}
        error(await client.call_tool("ollama_batch", given), "not_allowed")
        error(await client.call_tool("ollama_batch", {**BOTH, "output": "out.jsonl"}), "not_allowed")
        assert data(await client.call_tool("ollama_batch", BOTH))["done"] == 2
    assert [path.name for path in folder.iterdir()] == ["in.txt"]


async def test_what_was_read_from_files_is_counted_as_such(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path) as bench:
        path = bench.write("in.txt", "a line of several words\n" * 3)
        await bench.report([path], output="out.jsonl")
        await bench.report(["not from a file"] * 2, output="other.jsonl")
    store = Store(tmp_path / "kept" / "store.sqlite3")
    (row,) = (await store.usage.totals()).all_time.local
    await store.aclose()
    assert row.calls == 5
    assert row.file_tokens == 3 * estimate_tokens("a line of several words")
