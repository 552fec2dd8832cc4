"""An embedding model from a sentence-transformers folder, end to end on real servers and the simulator."""

import math
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.live.tiny_bert import SIZE, expected_vector, write_folder
from tests.support import connected, data, error, texts

MODEL = "mcp-live-bert"
INPUT = ["red cat", "Cat red", "stock market falls"]


async def _call(client: Client, tool: str, **arguments: Any) -> Any:
    return await client.call_tool(tool, {"model": MODEL, **arguments}, read_timeout_seconds=120)


async def test_a_sentence_transformers_folder_becomes_a_model_that_embeds(
    ollama: str, request: pytest.FixtureRequest, tmp_path: Path
):
    write_folder(tmp_path / "bert")
    settings: dict[str, Any] = {
        "read": {"upload_folders": [str(tmp_path)]},
        "policy": {"delete": "allow", "overwrite": "allow"},
    }
    async with connected(ollama, **settings) as client:
        made = await _call(client, "ollama_create_model", path=str(tmp_path / "bert"))
        if made.is_error:
            # Servers since 0.35 take no safetensors.
            assert "safetensors" in error(made, "unsupported")
            return
        try:
            found = await _call(client, "ollama_embed", input=INPUT, vectors=True)
            assert not found.is_error, texts(found)
            vectors = data(found)["vectors"]
        finally:
            await _call(client, "ollama_delete_model")
    assert [len(vector) for vector in vectors] == [SIZE] * 3
    # The mean of the tokens, in lower case: the order of words changes nothing, other words do.
    assert _cosine(vectors[0], vectors[1]) == pytest.approx(1, abs=1e-3)
    assert _cosine(vectors[0], vectors[2]) < 0.9
    if request.config.getoption("--ollama"):
        for vector, words in zip(vectors, INPUT, strict=True):
            assert _cosine(vector, expected_vector(words.lower().split())) == pytest.approx(1, abs=1e-3)


def _cosine(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))
