from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from ollama_mcp.simulator import Simulator

CHOICE = {
    "type": "choice",
    "instructions": "Which team should read this?",
    "criteria": {"billing": "invoice, payment, refund", "support": "crash, error, bug"},
}
STATE = "The customer wants a refund of the last invoice."


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with (
        Simulator("latest", models=("decision", "decision-vision", "chat")) as simulator,
        httpx.AsyncClient(base_url=simulator.url) as opened,
    ):
        yield opened


async def _ask(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    body = {"model": "nimble", "state": STATE, "questions": {"team": CHOICE}, **fields}
    return await client.post("/v1/systemone", json=body)


async def test_the_choice_shares_the_words_of_the_state(client: httpx.AsyncClient) -> None:
    answer = (await _ask(client)).json()
    team = answer["answers"]["team"]
    assert team["choice"] == "billing"
    assert sum(team["probabilities"].values()) == pytest.approx(1)
    assert 0 <= team["confidence"] <= 1
    assert answer["usage"]["input_tokens"] > 10


async def test_the_three_kinds_of_questions_have_their_three_forms(client: httpx.AsyncClient) -> None:
    questions = {
        "b": {"type": "noul", "instructions": "Is it urgent?", "criteria": {"true": "urgent"}},
        "a": {"type": "score", "instructions": "How angry?", "criteria": ["calm", "annoyed", "furious"]},
        "c": {**CHOICE, "criteria": {"yes": None, "no": {"why": "not"}}},
    }
    answers = (await _ask(client, questions=questions)).json()["answers"]
    assert list(answers) == ["b", "a", "c"]
    assert set(answers["b"]) == {"type", "noul"}
    assert 0 <= answers["a"]["score"] <= 2
    assert answers["a"]["legend"] == {"0": "calm", "1": "annoyed", "2": "furious"}
    assert set(answers["c"]["probabilities"]) == {"yes", "no"}


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"model": ""}, 400, "model is required"),
        ({"model": "absent"}, 404, 'model "absent" not found, try pulling it first'),
        ({"model": "llama3.2:3b"}, 400, 'model "llama3.2:3b" is not supported by System One; use a local Nimble'),
        ({"questions": {}}, 400, "questions must contain 1\u201364 fields"),
        ({"questions": {"q": {**CHOICE, "type": "x"}}}, 400, 'question "q": type must be choice, noul, or score'),
        ({"questions": {"q": {**CHOICE, "instructions": ""}}}, 400, 'question "q": instructions must be a nonempty'),
        ({"questions": {"q": {**CHOICE, "criteria": {"one": None}}}}, 400, 'question "q": criteria must contain 2'),
        ({"questions": {"q": {**CHOICE, "criteria": ["a", "b"]}}}, 400, "choice criteria must map option keys"),
        ({"questions": {"q": {**CHOICE, "type": "score"}}}, 400, "score criteria must be an array"),
        ({"questions": {"q": {**CHOICE, "type": "noul"}}}, 400, 'unknown noul criterion "billing"'),
        ({"state": ""}, 400, "state must not be empty"),
        ({"videos": ["x"]}, 400, "video inputs are not supported"),
        ({"images": ["aGVsbG8="]}, 400, "this decision model does not support images"),
        ({"state": "x" * 70_000}, 413, "request body must not exceed 64 KiB"),
    ],
)
async def test_an_invalid_question_is_rejected(
    client: httpx.AsyncClient, fields: dict[str, Any], status: int, error: str
) -> None:
    answer = await _ask(client, **fields)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(error)


async def test_only_a_vision_model_accepts_images(client: httpx.AsyncClient) -> None:
    answer = await _ask(client, model="clef", state=None, images=["AAAA" * 20_000])
    assert answer.status_code == 200


async def test_a_decision_model_neither_chats_nor_embeds(client: httpx.AsyncClient) -> None:
    shown = (await client.post("/api/show", json={"model": "nimble"})).json()
    assert shown["capabilities"] == ["decision"]
    answer = await client.post("/api/generate", json={"model": "nimble", "prompt": "x"})
    assert answer.json()["error"] == '"nimble" does not support generate'
