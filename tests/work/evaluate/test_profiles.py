"""Profiles: what an evaluation found is used by name, and a model that changed since is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.store.profiles import Profile
from tests.store.support import opened
from tests.support import data, error, text, texts
from tests.work.evaluate.evaluating import LARGE, QUESTION, SMALL, Desk, evaluating, tickets

TASK = {"prompt": "Which team? {text}", "metric": "label", "system": "One word.", "options": {"seed": 7}}


def last(desk: Desk) -> dict[str, Any]:
    """The body of the last chat."""
    return json.loads(next(one.body for one in reversed(desk.simulator.requests) if one.path == "/api/chat"))


async def test_every_tool_uses_the_model_the_prompt_and_the_options_that_were_found(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 0.5, LARGE: 1.0}) as desk:
        result = await desk.evaluate(desk.table(tickets(80)), profile="tickets", **TASK)
        assert data(result)["profile"] == "tickets"
        assert text(result).endswith("Kept as model='profile:tickets'.")
        call = {"model": "profile:tickets", "prompt": "It crashes [[tech]]"}
        assert texts(await desk.client.call_tool("ollama_chat", call)) == ["tech"]
        asked = last(desk)
        assert asked["model"] == LARGE and asked["options"] == {"seed": 7}
        assert [one["content"] for one in asked["messages"]] == ["One word.", "Which team? It crashes [[tech]]"]
        batch = {"model": "profile:tickets", "input": ["a [[billing]]", "b [[tech]]"]}
        report = data(await desk.client.call_tool("ollama_batch", batch))
        assert [one["output"] for one in report["samples"]] == ["billing", "tech"] and report["model"] == LARGE
        shown = data(await desk.client.call_tool("ollama_show_model", {"model": "profile:tickets"}))
        assert shown["model"] == LARGE
        # What a call gives itself wins.
        await desk.client.call_tool("ollama_chat", {**call, "system": "Two words.", "options": {"seed": 8}})
        assert last(desk)["options"] == {"seed": 8}


async def test_a_profile_is_compared_with_the_bare_model(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0, LARGE: 1.0}) as desk:
        await desk.report(desk.table(tickets(80)), models=[LARGE], profile="tickets", **TASK)
        before = len(desk.simulator.requests)
        models = ["profile:tickets", LARGE]
        result = await desk.client.call_tool("ollama_compare", {"models": models, "prompt": "It crashes [[tech]]"})
        asked = [json.loads(one.body) for one in desk.simulator.requests[before:] if one.path == "/api/chat"]
        other = await desk.client.call_tool("ollama_compare", {"models": [SMALL, "profile:other"], "prompt": "Hi"})
    rows = data(result)["models"]
    assert [row["model"] for row in rows] == models
    assert f"It is {LARGE}, as the profile has it." in rows[0]["notes"]
    assert rows[0]["memory_bytes"] == rows[1]["memory_bytes"] > 0
    assert [one["model"] for one in asked] == [LARGE, LARGE]
    own, bare = ([one["content"] for one in each["messages"]] for each in asked)
    assert (own, bare) == (["One word.", "Which team? It crashes [[tech]]"], ["It crashes [[tech]]"])
    assert asked[0]["options"]["seed"] == 7 and "seed" not in asked[1]["options"]
    assert "There is no profile 'other'. There are: tickets." in error(other, "invalid_argument")


async def test_a_profile_is_evaluated_as_its_model_with_its_task(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 0.5, LARGE: 1.0}) as desk:
        path = desk.table(tickets(80))
        await desk.report(path, models=[LARGE], profile="tickets", **TASK)
        call = {"examples": path, "models": ["profile:tickets", SMALL], "metric": "label"}
        report = data(await desk.client.call_tool("ollama_evaluate", call))
        assert report["model"] == LARGE and [row["model"] for row in report["models"]] == [SMALL, LARGE]
        assert last(desk)["messages"][0]["content"] == "One word."
        twice = await desk.client.call_tool("ollama_evaluate", {**call, "models": ["profile:tickets", LARGE]})
        assert f"models names '{LARGE}' twice" in error(twice, "invalid_argument")
        other = await desk.client.call_tool("ollama_evaluate", {**call, "models": ["profile:other"]})
        assert "There is no profile 'other'" in error(other, "invalid_argument")


async def test_what_takes_questions_asks_those_of_a_profile(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0}) as desk:
        await desk.report(desk.table(tickets(80)), profile="teams", questions=[QUESTION])
        batch = {"model": "profile:teams", "input": ["a [[billing]]", "b [[tech]]"]}
        report = data(await desk.client.call_tool("ollama_batch", batch))
        decided = data(
            await desk.client.call_tool(
                "ollama_decide", {"model": "profile:teams", "texts": ["a [[billing]]", "b [[tech]]"]}
            )
        )
        none = await desk.client.call_tool("ollama_decide", {"model": SMALL, "texts": ["a"]})
    answers = [one["output"]["Which team?"]["answer"] for one in report["samples"]]
    assert answers == [row["answer"] for row in decided["rows"]] == ["billing", "tech"]
    assert "questions is empty" in error(none, "invalid_argument")


async def test_another_version_of_the_model_is_told_and_can_be_measured_again(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0, LARGE: 1.0}) as desk:
        path = desk.table(tickets(80))
        await desk.report(path, models=[SMALL], profile="tickets", **TASK)
        other = desk.simulator.store.find(LARGE)
        assert other is not None
        desk.simulator.store.add(other.renamed(parse_name(SMALL)))
        call = {"model": "profile:tickets", "prompt": "It crashes [[tech]]"}
        _, note = texts(await desk.client.call_tool("ollama_chat", call))
        assert f"'tickets' was measured on another version of {SMALL}" in note
        batch = {"model": "profile:tickets", "input": ["a [[billing]]", "b [[tech]]"]}
        (said,) = data(await desk.client.call_tool("ollama_batch", batch))["notes"]
        assert said == note
        # With the task that was kept.
        again = await desk.report(path, models=[SMALL], profile="tickets", metric="label")
        assert again["profile"] == "tickets"
        assert texts(await desk.client.call_tool("ollama_chat", call)) == ["tech"]


async def test_a_profile_outlives_its_server_and_is_not_kept_where_no_model_is_good_enough(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0}) as desk:
        await desk.report(desk.table(tickets(80)), profile="tickets", **TASK)
    async with evaluating(tmp_path, {SMALL: 0.5}) as desk:
        report = await desk.report(desk.table(tickets(80)), profile="other", **TASK)
        assert "profile" not in report
        assert any(note.startswith("No profile 'other' was kept") for note in report["notes"])
        call = {"model": "profile:other", "prompt": "Hi"}
        said = error(await desk.client.call_tool("ollama_chat", call), "invalid_argument")
        assert "There is no profile 'other'. There are: tickets." in said


async def test_profiles_are_among_what_is_kept_and_go_with_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.sqlite3") as store:
        await store.profiles.keep("", "tickets", Profile("m", "d", "h", {"prompt": "secret words"}))
        await store.profiles.keep("ada", "tickets", Profile("n", "d", "h"))
        assert {held.kind: held.number for held in await store.held()}["profiles"] == 2
        mine, hers = await store.profiles.find("", "tickets"), await store.profiles.find("ada", "tickets")
        assert mine and hers and (mine.model, hers.model) == ("m", "n")
        assert await store.profiles.find("ada", "other") is None
        assert await store.profiles.clear() == 2
        assert await store.profiles.names("") == []


@pytest.mark.parametrize("name", ["two words", "a/b", "-x", "x" * 65])
async def test_a_profile_has_a_name_that_a_model_could_have(tmp_path: Path, name: str) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0}) as desk:
        said = error(await desk.evaluate(desk.table(tickets(4)), profile=name, **TASK), "invalid_argument")
    assert "such as 'tickets'" in said


async def test_nothing_is_deleted_by_the_name_of_a_profile(tmp_path: Path) -> None:
    async with evaluating(tmp_path, {SMALL: 1.0}, policy={"delete": "allow"}) as desk:
        await desk.report(desk.table(tickets(80)), profile="tickets", **TASK)
        error(await desk.client.call_tool("ollama_delete_model", {"model": "profile:tickets"}), "model_not_found")
        assert desk.simulator.store.find(SMALL) is not None
