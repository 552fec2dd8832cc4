"""How well the search finds what is asked about this repository; the simulator's vectors are feature hashing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client

from bench.search import FILES, ROOT, Question, bootstrap, is_right, measure, read_questions
from ollama_mcp.simulator import Answer, Simulator
from tests.support import connected, data

RERANKER = "qwen3-reranker:0.6b"


@asynccontextmanager
async def repository(simulator: Simulator, **settings: Any) -> AsyncGenerator[Client]:
    """A client whose server may read this repository."""
    async with connected(
        simulator.url,
        read={"text_folders": [str(ROOT)]},
        limits={"files": 1_000},
        jobs={"call_seconds": 600},
        **settings,
    ) as client:
        yield client


def test_each_question_has_its_place():
    questions = read_questions()
    assert len(questions) == 60
    assert [sum(one.kind == kind for one in questions) for kind in ("meaning", "identifier", "mixed")] == [30, 20, 10]


def test_the_bounds_of_a_gain_hold_its_mean_and_are_the_same_each_time():
    before, after = [0.0, 1.0, 0.5, 0.2] * 10, [0.5, 1.0, 0.4, 0.4] * 10
    low, high = bootstrap(before, after)
    assert low < 0.15 < high and (low, high) == bootstrap(before, after)
    assert bootstrap(before, before) == (0.0, 0.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_names_are_found_and_poor_vectors_take_little_from_what_words_find(simulator: Simulator):
    async with repository(simulator) as client:
        words = await measure(client, read_questions(), mode="words")
        meaning = await measure(client, read_questions(), mode="meaning")
        both = await measure(client, read_questions())
    names = [question.query for question in [*words.missed, *both.missed] if question.kind == "identifier"]
    assert names == []
    by_words, by_meaning, by_both = (found.quality["all"] for found in (words, meaning, both))
    # Feature hashing finds less than half of what words find; with a real model both find more than either.
    assert by_both.ndcg > by_meaning.ndcg + 0.2
    assert by_both.ndcg >= by_words.ndcg - 0.05 and by_both.hit >= by_words.hit - 0.05


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_judge_that_knows_finds_more_than_words_and_meaning():
    questions = [question for question in read_questions() if question.file.endswith(".md")][:10]
    judged: list[int | None] = []
    # One request after the other, so that scripted answers meet their questions.
    one = {"parallel": 1, "judge_seconds": 600}
    async with (
        Simulator(version="latest", models=("reranker", "embed")) as simulator,
        repository(simulator, work=one) as client,
    ):
        simulator.script(RERANKER, *verdicts([0.9, 0.1] * 10))
        plain = await measure(client, questions)
        for question in questions:
            found = await first_places(client, question, k=40)
            simulator.script(RERANKER, *verdicts([0.9 if is_right(row, question) else 0.2 for row in found]))
            rows = await first_places(client, question, k=10, rerank=True)
            judged.append(next((rank for rank, row in enumerate(rows, start=1) if is_right(row, question)), None))
            assert rows[0]["by"].endswith("judged") and len(found) == 40
            assert any("meaning" in row["by"] for row in found) and any("words" in row["by"] for row in found)
    ranked_before = [question for question in questions if question not in plain.missed]
    assert sum(rank == 1 for rank in judged) >= len(ranked_before) > 0
    assert sum(1 / rank for rank in judged if rank) > sum(plain.gains)


async def first_places(client: Client, question: Question, **arguments: Any) -> list[dict[str, Any]]:
    files = [str(ROOT / name) for name in FILES]
    asked = {"query": question.query, "files": files, **arguments}
    return data(await client.call_tool("ollama_search", asked))["rows"]


def verdicts(chances: list[float]) -> list[Answer]:
    return [Answer(text=["yes"], chances=[{"yes": chance, "no": 1 - chance}]) for chance in chances]
