"""What tool files import keeps its names: a file written for version 0.1.0 goes on working."""

from __future__ import annotations

from pathlib import Path

from ollama_mcp.simulator import Simulator
from tests.support import connected, data, error, text

# Written against 0.1.0 and never to be changed: users have files like it.
WRITTEN_FOR_0_1_0 = '''
"""Tools of a user."""

from typing import Annotated

from pydantic import Field

from ollama_mcp import (
    CHANGES,
    DESTROYS,
    DOWNLOADS,
    INFERS,
    PUBLISHES,
    READS,
    SEARCHES,
    Answer,
    Call,
    Data,
    Hints,
    InvalidArgument,
    NotAllowed,
    tool,
)

OWN = Hints(read_only=True, idempotent=True, open_world=False)
assert all(isinstance(hints, Hints) for hints in (CHANGES, DESTROYS, DOWNLOADS, INFERS, PUBLISHES, SEARCHES))


class Version(Data):
    """Ollama's version."""

    version: str
    models: int

    def as_text(self) -> str:
        return f"Ollama {self.version}, {self.models} models"


@tool(title="Show the version", toolset="mine", hints=READS)
async def my_version(call: Call) -> Version:
    """Tell which version of Ollama answers."""
    return Version(version=await call.client.version(), models=len(await call.client.tags()))


@tool(title="Count", toolset="mine", hints=OWN)
async def my_count(
    call: Call,
    texts: Annotated[list[str], Field(description="Texts to count.")],
    limit: Annotated[int, Field(ge=1, le=10)] = 10,
) -> Answer:
    """Count texts."""
    call.check_count("messages", texts, argument="texts")
    if len(texts) > limit:
        raise InvalidArgument(f"{len(texts)} texts were given.", next_step="Give fewer.")
    if call.settings.read_only:
        raise NotAllowed("Counting is not allowed here.", next_step="Ask the user.")
    async with call.progress.phase("counting"):
        return Answer(text=str(len(texts)), model="", notes=["Counted."])
'''


async def test_a_tool_file_written_for_0_1_0_is_loaded_and_works(simulator: Simulator, tmp_path: Path):
    (tmp_path / "mine.py").write_text(WRITTEN_FOR_0_1_0, encoding="utf-8")
    async with connected(simulator.url, tools={"folders": [str(tmp_path)]}) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"my_version", "my_count"} <= names
        version = await client.call_tool("my_version", {})
        assert data(version)["models"] > 0 and text(version).startswith("Ollama ")
        counted = await client.call_tool("my_count", {"texts": ["a", "b"]})
        assert [block.text for block in counted.content if block.type == "text"] == ["2\n", "Counted."]
        too_many = await client.call_tool("my_count", {"texts": ["a", "b"], "limit": 1})
        assert error(too_many, "invalid_argument") == "[invalid_argument] 2 texts were given. Give fewer."
