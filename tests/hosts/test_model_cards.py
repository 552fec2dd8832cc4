"""What is known of models: how long a card is kept, and capabilities that old servers do not report."""

from __future__ import annotations

from ollama_mcp.api import ModelCard
from ollama_mcp.hosts.model_cards import capabilities_of
from ollama_mcp.simulator import Simulator
from tests.support import connected

MODEL = "qwen3:4b"


async def test_a_card_is_asked_for_once_in_a_while_however_often_it_is_needed(simulator: Simulator):
    async with connected(simulator.url) as client:
        for _ in range(3):
            result = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi", "format": "json"})
            assert result is not None
    assert [seen.path for seen in simulator.requests].count("/api/show") == 1


def test_vision_is_read_from_the_keys_of_the_model_where_the_server_reports_no_capabilities():
    sees = ModelCard.model_validate({"model_info": {"general.architecture": "gemma3", "gemma3.vision.block_count": 27}})
    blind = ModelCard.model_validate({"model_info": {"general.architecture": "gemma3", "gemma3.block_count": 34}})
    assert "vision" in capabilities_of(sees)
    assert "vision" not in capabilities_of(blind)
