"""What the tests of batches share: a server with a folder of its own, and the rows that it wrote."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from dataclasses import field as default
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import CallToolResult

from ollama_mcp.simulator import Simulator
from tests.support import connected, data

MODEL = "llama3.2:3b"
EMBEDDER = "nomic-embed-text"


@dataclass
class Bench:
    """A client, the simulated Ollama behind its server, and the folder that may be read and written."""

    client: Client
    simulator: Simulator
    folder: Path
    seen: list[str] = default(default_factory=list[str])

    async def batch(self, given: object, **more: Any) -> CallToolResult:
        """Call ollama_batch; without anything to do it is a prompt."""
        todo = {} if {"prompt", "questions", "embed"} & set(more) else {"prompt": "Say it: {text}"}
        model = {"model": MODEL} if "model" not in more else {}

        async def note(progress: float, total: float | None, message: str | None) -> None:
            self.seen.append(message or "")

        arguments = {"input": given, **todo, **model, **more}
        return await self.client.call_tool("ollama_batch", arguments, progress_callback=note)

    async def report(self, given: object, **more: Any) -> dict[str, Any]:
        """The structured content of a batch that went well."""
        return data(await self.batch(given, **more))

    def write(self, name: str, content: str | bytes) -> str:
        """Make a file in the folder; gives its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def rows(self, name: str = "out.jsonl") -> list[dict[str, Any]]:
        """The rows of an output file."""
        lines = (self.folder / name).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def table(self, name: str = "out.csv") -> list[dict[str, str]]:
        """The rows of an output table."""
        with (self.folder / name).open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    def prompts(self) -> list[str]:
        """What the model was asked, sorted: rows are worked on side by side."""
        asked = [json.loads(seen.body) for seen in self.simulator.requests if seen.path == "/api/chat"]
        return sorted(body["messages"][-1]["content"] for body in asked)


def settings_of(folder: Path, store: Path) -> dict[str, Any]:
    """Settings under which a folder may be read and written, with a store of their own."""
    return {
        "read": {"text_folders": [str(folder)], "image_folders": [str(folder)], "working_folder": "never"},
        "write": {"folders": [str(folder)], "working_folder": "never"},
        "store": {"path": str(store / "store.sqlite3")},
    }


@asynccontextmanager
async def batching(simulator: Simulator, tmp_path: Path, **settings: Any) -> AsyncGenerator[Bench]:
    """A server over the simulator, whose folder is `tmp_path / "data"`; further keywords are settings."""
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    (tmp_path / "kept").mkdir(exist_ok=True)
    async with connected(simulator.url, **{**settings_of(folder, tmp_path / "kept"), **settings}) as client:
        yield Bench(client, simulator, folder)
