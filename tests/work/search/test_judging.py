"""`rerank`: a model judges the best places; who it was is told, and what could not be judged stays where it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from mcp import Client

from ollama_mcp.simulator import Answer, Simulator
from tests.support import connected, data
from tests.work.search.client import CAT, STOCKS, places

CHAT = "llama3.2:3b"
TEXTS = [CAT, STOCKS, "A dog barks at night.", "Rain falls."]
# One request after the other, so that scripted answers meet their questions.
ONE = {"parallel": 1}
# The ten pairs of known passages: a right one, then a wrong one.
ABLE = [0.9, 0.1] * 10


def letters(chances: Sequence[float]) -> list[Answer]:
    """Answers to yes/no questions, by the probability of yes."""
    return [Answer(text=["A"], chances=[{"A": chance, "B": 1 - chance}]) for chance in chances]


async def search(client: Client, **arguments: Any) -> dict[str, Any]:
    asked = {"query": "cat", "texts": TEXTS, "rerank": True, "mode": "words", **arguments}
    return data(await client.call_tool("ollama_search", asked))


def judged(simulator: Simulator) -> int:
    """How many questions were asked so far."""
    return sum(seen.path in ("/api/chat", "/v1/systemone") for seen in simulator.requests)


async def test_the_judge_decides_the_order_and_its_probability_is_the_score():
    async with (
        Simulator(version="latest", models=("chat",)) as simulator,
        connected(simulator.url, work=ONE, defaults={"decide": CHAT}) as client,
    ):
        # Words find text 0; the others come after it in the order of the call.
        simulator.script(CHAT, *letters([*ABLE, 0.2, 0.95, 0.3, 0.6]))
        found = await search(client)
        assert places(found) == ["texts[1]", "texts[3]", "texts[2]", "texts[0]"]
        assert [row["score"] for row in found["rows"]] == [0.95, 0.6, 0.3, 0.2]
        assert [row["by"] for row in found["rows"]] == ["judged", "judged", "judged", "words, judged"]
        assert found["notes"] == [f"Judged by {CHAT} (logprobs): 4 of the first 4 places."]
        # The known passages are asked once for each model.
        simulator.script(CHAT, *letters([0.9, 0.8, 0.7, 0.6]))
        again = await search(client)
        assert places(again)[0] == "texts[0]" and judged(simulator) == 20 + 4 + 4


async def test_a_model_that_cannot_tell_known_passages_apart_does_not_judge():
    async with (
        Simulator(version="latest", models=("chat",)) as simulator,
        connected(simulator.url, work=ONE, defaults={"decide": CHAT}) as client,
    ):
        simulator.script(CHAT, *letters([0.6, 0.7] * 10))
        found = await search(client)
    assert places(found)[0] == "texts[0]" and "cannot tell known right passages from wrong" in found["notes"][-1]
    assert judged(simulator) == 20 and found["rows"][0]["by"] == "words"


async def test_a_decision_model_judges_without_known_passages():
    async with Simulator(version="latest", models=("decision",)) as simulator, connected(simulator.url) as client:
        found = await search(client, query="a dog")
    assert len(found["rows"]) == 4 and all(row["by"].endswith("judged") for row in found["rows"])
    assert judged(simulator) == 4 and "nimble:latest (decision)" in found["notes"][-1]


@pytest.mark.slow
async def test_what_the_time_does_not_suffice_for_comes_before_what_is_wrong():
    async with (
        Simulator(version="latest", models=("chat",)) as simulator,
        connected(
            simulator.url, work={**ONE, "judge_seconds": 5}, defaults={"decide": CHAT}, limits={"listed": 10}
        ) as client,
    ):
        simulator.script(CHAT, *letters([*ABLE, 0.2]), Answer(text=["A"], hold="never"))
        found = await search(client)
        simulator.release("never")
    assert places(found) == ["texts[1]", "texts[2]", "texts[3]", "texts[0]"]
    assert found["rows"][-1]["by"] == "words, judged" and "judged" not in found["rows"][0].get("by", "")
    assert "1 of the first 4 places; for the others 5 s were not enough" in found["notes"][-1]


async def test_where_no_model_can_judge_the_search_answers_all_the_same():
    async with Simulator(version="latest", models=("embed",)) as simulator, connected(simulator.url) as client:
        found = await search(client, texts=[STOCKS, CAT])
    assert places(found) == ["texts[1]", "texts[0]"] and found["notes"][-1].startswith("Not judged: ")


async def test_a_model_without_a_letter_is_not_asked_again_by_schema():
    async with (
        Simulator(version="latest", models=("chat",)) as simulator,
        connected(simulator.url, work=ONE, defaults={"decide": CHAT}) as client,
    ):
        simulator.script(CHAT, *[Answer(text=["Well"], chances=[{"Well": 1.0}])] * 20)
        found = await search(client)
    assert "cannot tell known right passages from wrong" in found["notes"][-1] and judged(simulator) == 20
    assert not any("format" in seen.json for seen in simulator.requests if seen.path == "/api/chat")
