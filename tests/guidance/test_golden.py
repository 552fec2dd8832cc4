"""The lists of prompts and resources, held to golden files; `UPDATE_GOLDEN=1` rewrites them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Simulator
from tests.guidance.helpers import prompt_text
from tests.support import connected

HERE = Path(__file__).parent / "golden"


def _hold(name: str, text: str) -> None:
    path = HERE / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{name} is missing: run with UPDATE_GOLDEN=1 and review it"
    assert text == path.read_text(encoding="utf-8"), f"{name} has changed: run with UPDATE_GOLDEN=1 and review it"


@pytest.mark.parametrize("what", ["prompts", "resources", "resource_templates"])
async def test_a_list_is_the_golden_one(simulator: Simulator, what: str):
    async with connected(simulator.url) as client:
        result: Any = await getattr(client, f"list_{what}")()
    shown = [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in getattr(result, what)]
    _hold(f"{what}.json", json.dumps(shown, indent=2, ensure_ascii=False) + "\n")


async def test_a_rendered_prompt_is_the_golden_one(simulator: Simulator):
    async with connected(simulator.url) as client:
        text = await prompt_text(client, "delegate_task", task="Translate to French: good morning")
    _hold("delegate_task.txt", text + "\n")


async def test_the_instructions_are_the_golden_ones(simulator: Simulator):
    async with connected(simulator.url) as client:
        _hold("instructions.txt", f"{client.instructions}\n")
