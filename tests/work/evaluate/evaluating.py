"""What the tests of evaluations share: a server, models of known accuracy, and files of examples that name answers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import CallToolResult

from ollama_mcp.simulator import Simulator
from tests.support import connected, data
from tests.work.batch.batching import settings_of

SMALL, MIDDLE, LARGE = "llama3.2:1b", "llama3.2:3b", "llama3.1:8b"
LABELS = ("billing", "tech")
QUESTION = {"question": "Which team?", "labels": list(LABELS)}


@dataclass
class Desk:
    """A client, the simulated Ollama behind its server, and the folder that may be read."""

    client: Client
    simulator: Simulator
    folder: Path

    async def evaluate(self, examples: str, **more: Any) -> CallToolResult:
        """Call ollama_evaluate; without anything to do it is a question with two labels."""
        todo = {} if {"prompt", "questions"} & set(more) else {"questions": [QUESTION]}
        return await self.client.call_tool("ollama_evaluate", {"examples": examples, **todo, **more})

    async def report(self, examples: str, **more: Any) -> dict[str, Any]:
        """The structured content of an evaluation that went well."""
        return data(await self.evaluate(examples, **more))

    def table(self, rows: Sequence[Mapping[str, Any]], name: str = "examples.csv") -> str:
        """Write a .csv or .jsonl of examples; gives its path."""
        path = self.folder / name
        if name.endswith(".csv"):
            text = io.StringIO()
            writer = csv.DictWriter(text, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
            path.write_text(text.getvalue(), encoding="utf-8")
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    def asked(self, model: str) -> int:
        """How many requests a model got."""
        return sum(seen.model == model for seen in self.simulator.requests if seen.path == "/api/chat")


def tickets(count: int, first: int = 0) -> list[dict[str, str]]:
    """Examples that name their answer as the dial of the simulator wants it."""
    labels = [LABELS[number % len(LABELS)] for number in range(first, first + count)]
    return [{"text": f"Ticket {first + n} [[{label}]]", "expected": label} for n, label in enumerate(labels)]


@asynccontextmanager
async def evaluating(
    tmp_path: Path, accuracies: Mapping[str, float], *, simulator: Simulator | None = None, **settings: Any
) -> AsyncGenerator[Desk]:
    """A server over a simulated Ollama whose models have these accuracies; further keywords are settings."""
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    (tmp_path / "kept").mkdir(exist_ok=True)
    made = simulator or Simulator(version="latest", models=list(accuracies))
    for model, accuracy in accuracies.items():
        made.set_accuracy(model, accuracy)
    async with made, connected(made.url, **{**settings_of(folder, tmp_path / "kept"), **settings}) as client:
        yield Desk(client, made, folder)
