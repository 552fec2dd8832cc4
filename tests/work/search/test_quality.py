"""How well the search finds what is asked about this repository; the simulator's vectors are feature hashing."""

from __future__ import annotations

import pytest

from bench.search import ROOT, measure, read_questions
from ollama_mcp.simulator import Simulator
from tests.support import connected


def test_each_question_has_its_place():
    questions = read_questions()
    assert len(questions) == 60
    assert [sum(one.kind == kind for one in questions) for kind in ("meaning", "identifier", "mixed")] == [30, 20, 10]


@pytest.mark.slow
async def test_names_are_found_and_both_searches_find_more_than_meaning_alone(simulator: Simulator):
    async with connected(
        simulator.url,
        read={"text_folders": [str(ROOT)]},
        limits={"files": 1_000},
        jobs={"call_seconds": 600},
    ) as client:
        words, lost = await measure(client, read_questions(), mode="words")
        meaning, _ = await measure(client, read_questions(), mode="meaning")
        both, lost_by_both = await measure(client, read_questions())
    names = [question.query for question in [*lost, *lost_by_both] if question.kind == "identifier"]
    assert names == []
    assert both["all"].ndcg > meaning["all"].ndcg and both["all"].hit >= words["all"].hit
