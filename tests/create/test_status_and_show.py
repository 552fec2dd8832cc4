"""What status and show tell before and after a model was made."""

import json

import pytest

from ollama_mcp.simulator import Simulator
from tests.support import connected, data, text

BASE = "llama3.2:3b"


async def test_a_status_warns_of_versions_with_known_holes():
    for version, names in (
        ("0.5.7", ["CVE-2026-7482", "CVE-2025-51471"]),
        ("0.17.0", ["CVE-2026-7482"]),
        ("0.17.7", []),
        ("0.0.0", []),
    ):
        async with Simulator(version=version) as simulator, connected(simulator.url) as client:
            result = await client.call_tool("ollama_status", {})
        warnings = data(result)["hosts"][0].get("warnings", [])
        assert [warning.split(":")[0] for warning in warnings] == names
        assert text(result).count("warning: ") == len(names)


@pytest.mark.parametrize("model", [BASE, "qwen3:4b", "gemma3:4b", "nomic-embed-text"])
async def test_a_card_is_short_and_says_size_and_whether_it_is_loaded(simulator: Simulator, model: str):
    async with connected(simulator.url) as client:
        before = await client.call_tool("ollama_show_model", {"model": model})
        await client.call_tool("ollama_load_model", {"model": model})
        after = await client.call_tool("ollama_show_model", {"model": model})
    assert (data(before)["loaded"], data(after)["loaded"]) == (False, True)
    assert data(after)["size_bytes"] > 200_000_000
    assert "size: " in text(after) and "loaded: True" in text(after)
    assert len(text(after)) < 1_600 and len(json.dumps(data(after))) < 1_600
