"""What tests of ollama_search share: notes about different things, and a client that searches them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client

from ollama_mcp.simulator import Simulator
from tests.support import connected, data

MODEL = "nomic-embed-text"
CAT, STOCKS = "The cat sleeps on the sofa.", "Stocks fell sharply on Monday."


def write_notes(folder: Path) -> Path:
    """Write three files into a new folder in `folder`, and return it."""
    notes = folder / "notes"
    notes.mkdir()
    (notes / "animals.md").write_text("# Animals\n\nA hedgehog hibernates in winter.\n\n\n" + f"{CAT}\n" * 3)
    (notes / "money.md").write_text(f"{STOCKS}\nThe bank raised its interest rate.\n")
    (notes / "tools.txt").write_text("A hammer drives nails into wood.\n")
    return notes


@asynccontextmanager
async def reader(simulator: Simulator, folder: Path, **settings: Any) -> AsyncGenerator[Client]:
    """A client whose server may read the folder, and keeps its store beside it."""
    store = {"path": str(folder.parent / "store.sqlite3")}
    async with connected(simulator.url, read={"text_folders": [str(folder)]}, store=store, **settings) as client:
        yield client


async def ranked(client: Client, query: str, **arguments: Any) -> dict[str, Any]:
    """What is found, as data."""
    return data(await client.call_tool("ollama_search", {"query": query, "model": MODEL, **arguments}))


def sent(simulator: Simulator) -> list[list[str]]:
    """The texts of each request for vectors so far."""
    return [seen.json["input"] for seen in simulator.requests if seen.path == "/api/embed"]


def places(found: dict[str, Any]) -> list[str]:
    """The places that were found, in order."""
    return [row["place"] if "place" in row else f"texts[{row['index']}]" for row in found["rows"]]
