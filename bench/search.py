"""How well a search finds: nDCG@10 and hit@5 of words, meaning, both, and both judged, on 60 questions.

    python -m bench.search [--ollama URL] [--model NAME] [--rerank]

The questions (`search_questions.jsonl`) are about this repository's own documents and code: half by meaning, a third
identifiers, the rest mixed; each names the file and the words that stand in the right place. Without `--ollama` the
simulator answers, whose vectors are feature hashing: which says nothing about a model. What judging gains is told with
the bounds of a paired bootstrap over the questions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import tempfile
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

from mcp import Client

from ollama_mcp.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
FILES = ("docs/*.md", "SECURITY.md", "CONTRIBUTING.md", "ollama_mcp/work/**/*.py")
KINDS = ("meaning", "identifier", "mixed", "all")
FORMAT = "{:<16} " + "{:>22} " * len(KINDS)


class Question(NamedTuple):
    """A question and the line of its right place."""

    kind: str
    query: str
    file: str
    line: int


class Quality(NamedTuple):
    """Means over questions."""

    ndcg: float
    hit: float


def read_questions() -> list[Question]:
    """The questions.

    Raises:
        ValueError: The words of a right place are no longer in its file, or there twice.
    """
    questions: list[Question] = []
    for text in (ROOT / "bench/search_questions.jsonl").read_text("utf-8").splitlines():
        row = json.loads(text)
        content = (ROOT / row["file"]).read_text("utf-8").casefold()
        words = row["at"].casefold()
        if content.count(words) < 1:
            raise ValueError(f"{row['file']} does not have {row['at']!r}")
        line = content.count("\n", 0, content.index(words)) + 1
        questions.append(Question(row["kind"], row["query"], row["file"], line))
    return questions


class Measured(NamedTuple):
    """What was measured of one way to search.

    Attributes:
        quality: By kind of question.
        missed: The questions whose place is not among the first five.
        gains: The nDCG@10 of each question.
    """

    quality: dict[str, Quality]
    missed: list[Question]
    gains: list[float]


async def measure(client: Client, questions: list[Question], **arguments: Any) -> Measured:
    """Ask all questions one way."""
    ranks = [await rank_of(client, question, arguments) for question in questions]
    by_kind: dict[str, list[int | None]] = defaultdict(list)
    for question, rank in zip(questions, ranks, strict=True):
        by_kind[question.kind].append(rank)
        by_kind["all"].append(rank)
    missed = [question for question, rank in zip(questions, ranks, strict=True) if rank is None or rank > 5]
    return Measured({kind: _quality(by_kind[kind]) for kind in by_kind}, missed, list(map(_gain, ranks)))


def _gain(rank: int | None) -> float:
    # With one right place the ideal gain is 1.
    return 1 / math.log2(rank + 1) if rank else 0.0


def _quality(ranks: list[int | None]) -> Quality:
    hits = sum(rank is not None and rank <= 5 for rank in ranks)
    return Quality(sum(map(_gain, ranks)) / len(ranks), hits / len(ranks))


def bootstrap(before: list[float], after: list[float], rounds: int = 2_000) -> tuple[float, float]:
    """Between what the mean gain of each question by another way lies, in 95 % of samples of the questions."""
    gained = [new - old for old, new in zip(before, after, strict=True)]
    chosen = random.Random(7)
    means = sorted(sum(chosen.choices(gained, k=len(gained))) / len(gained) for _ in range(rounds))
    return means[rounds // 40], means[-rounds // 40 - 1]


async def rank_of(client: Client, question: Question, arguments: dict[str, Any]) -> int | None:
    """At which place the answer has the right one; None where it is not among the first ten."""
    result = await client.call_tool(
        "ollama_search", {"query": question.query, "files": [str(ROOT / name) for name in FILES], "k": 10, **arguments}
    )
    if result.is_error or result.structured_content is None:
        raise RuntimeError(str(result.content))
    rows = enumerate(result.structured_content["rows"], start=1)
    return next((rank for rank, row in rows if is_right(row, question)), None)


def is_right(row: dict[str, Any], question: Question) -> bool:
    """Whether a place that was found is the right one of a question."""
    path, _, lines = row["place"].rpartition(":")
    first, _, last = lines.partition("-")
    return path == str(ROOT / question.file) and int(first) <= question.line <= int(last or first)


def settings_for(url: str, store: Path) -> Settings:
    """Settings of a server that may read this repository."""
    return Settings.model_validate(
        {
            "host": url,
            "read": {"text_folders": [str(ROOT)]},
            "store": {"path": str(store)},
            "limits": {"files": 1_000},
            "jobs": {"call_seconds": 600},
        }
    )


async def main(url: str, model: str, store: str, *, rerank: bool) -> None:
    """Print a table."""
    from ollama_mcp.server.app import OllamaServer

    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if not url:
            from ollama_mcp.simulator import Simulator

            url = (await stack.enter_async_context(Simulator(version="latest"))).url
        server = OllamaServer(settings_for(url, Path(store or f"{folder}/store.sqlite3")))
        client = await stack.enter_async_context(Client(server))
        questions = read_questions()
        print(FORMAT.format("nDCG@10, hit@5", *KINDS))
        ways: dict[str, dict[str, Any]] = {
            "words": {"mode": "words"},
            "meaning": {"mode": "meaning", "model": model},
            "both": {"model": model},
        }
        if rerank:
            ways["both, judged"] = {"model": model, "rerank": True}
        gains: dict[str, list[float]] = {}
        for name, arguments in ways.items():
            found, missed, gains[name] = await measure(client, questions, **arguments)
            print(FORMAT.format(name, *(f"{found[kind].ndcg:.3f}, {found[kind].hit:.0%}" for kind in KINDS)))
            names = [one.query for one in missed if one.kind == "identifier"]
            print(f"    identifiers not among the first five: {', '.join(names) or 'none'}")
        if rerank:
            low, high = bootstrap(gains["both"], gains["both, judged"])
            print(f"    judging gains {low:+.3f} to {high:+.3f}; by default it would need at least -0.010")
            asked = {"query": "undo a commit", "texts": ["git revert"], "rerank": True, "model": model}
            answer = await client.call_tool("ollama_search", asked)
            notes = answer.structured_content["notes"] if answer.structured_content else answer.content
            print(f"    {notes}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ollama", default="")
    parser.add_argument("--model", default="", help="an embedding model; else the server chooses")
    parser.add_argument("--store", default="", help="a file that keeps the vectors for the next run")
    parser.add_argument("--rerank", action="store_true")
    given = parser.parse_args()
    asyncio.run(main(given.ollama, given.model, given.store, rerank=given.rerank))
