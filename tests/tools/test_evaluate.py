"""ollama_evaluate as its callers meet it: the verdict first, its cost, its figures."""

from __future__ import annotations

from pathlib import Path

from ollama_mcp.cli.tools import tool_list_tokens
from ollama_mcp.simulator import Simulator
from tests.support import connected, data, text
from tests.work.evaluate.evaluating import LARGE, MIDDLE, SMALL, evaluating, tickets


async def test_its_place_in_the_list_is_cheap_and_honest(simulator: Simulator) -> None:
    async with connected(simulator.url) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    tool = tools["ollama_evaluate"]
    assert tool_list_tokens(tool) <= 200
    assert sum(map(tool_list_tokens, tools.values())) <= 4_000
    hints = tool.annotations
    assert hints and (hints.read_only_hint, hints.destructive_hint) == (False, False)
    assert tool.input_schema["required"] == ["examples"]


async def test_a_server_that_only_reads_offers_no_report(simulator: Simulator) -> None:
    async with connected(simulator.url, read_only=True) as client:
        tool = next(tool for tool in (await client.list_tools()).tools if tool.name == "ollama_evaluate")
    assert "report" not in tool.input_schema["properties"]
    assert tool.annotations and tool.annotations.read_only_hint


async def test_the_smallest_model_that_reaches_the_goal_comes_first(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {LARGE: 0.99, SMALL: 0.6, MIDDLE: 0.98}) as desk:
        path = desk.table(tickets(200))
        result = await desk.evaluate(path)
        asked = {model: desk.asked(model) for model in (SMALL, MIDDLE, LARGE)}
    report = data(result)
    assert report["model"] == MIDDLE
    assert text(result).startswith(f"Smallest model that reaches 90 % here: {MIDDLE}, ")
    assert [(row["model"], row["reaches"]) for row in report["models"]][:2] == [(SMALL, "no"), (MIDDLE, "yes")]
    assert all(row["low"] <= row["accuracy"] <= row["high"] for row in report["models"])
    assert {row["model"]: row["examples"] for row in report["models"]} == asked
    assert asked[LARGE] <= 60 < 200


async def test_a_prompt_is_measured_with_its_speed_and_memory(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0}) as desk:
        path = desk.table(tickets(70), "examples.jsonl")
        report = await desk.report(path, prompt="Which team? {text}", metric="exact", models=[SMALL])
    (row,) = report["models"]
    assert (report["model"], report["metric"], row["accuracy"]) == (SMALL, "exact", 1.0)
    assert row["rows_per_second"] > 0 and row["prompt_tokens"] > 0 and row["tokens"] > 0
    assert row["memory_bytes"] > 0 and row["gpu_percent"] == 0 and row["load_seconds"] >= 0
    assert "failures" not in report and "notes" not in report
