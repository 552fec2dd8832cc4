"""The questions of protocol 2026-07-28, which come back with the call that is made again."""

from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.types import CallToolResult, InputRequiredResult

from ollama_mcp.server import elicitation
from ollama_mcp.simulator import Simulator
from tests.confirmation.user import NO, YES, User, one_round, with_user
from tests.support import error

MODEL = "llama3.2:3b"
DELETE = "ollama_delete_model"
MODERN = "2026-07-28"


async def _asked(client: Client, **arguments: Any) -> str:
    result = await one_round(client, DELETE, {"model": MODEL, **arguments})
    assert isinstance(result, InputRequiredResult) and result.request_state
    return result.request_state


def _deleted(simulator: Simulator) -> int:
    return [seen.path for seen in simulator.requests].count("/api/delete")


async def test_an_accepted_form_is_good_once(simulator: Simulator):
    async with with_user(simulator.url, User(YES), mode=MODERN) as client:
        state = await _asked(client)
        done = await one_round(client, DELETE, {"model": MODEL}, answer=YES, state=state)
        assert isinstance(done, CallToolResult) and not done.is_error
        await client.call_tool("ollama_copy_model", {"source": "gemma3:4b", "destination": MODEL})
        again = await one_round(client, DELETE, {"model": MODEL}, answer=YES, state=state)
    assert isinstance(again, InputRequiredResult)
    assert _deleted(simulator) == 1


async def test_a_yes_does_not_cover_a_model_that_has_changed_since(simulator: Simulator):
    async with with_user(simulator.url, User(YES), mode=MODERN) as client:
        state = await _asked(client)
        await one_round(client, "ollama_copy_model", {"source": "gemma3:4b", "destination": MODEL})
        await client.call_tool("ollama_copy_model", {"source": "gemma3:4b", "destination": MODEL})
        again = await one_round(client, DELETE, {"model": MODEL}, answer=YES, state=state)
    assert isinstance(again, InputRequiredResult)
    assert not _deleted(simulator)


@pytest.mark.parametrize("change", [{"model": "gemma3:4b"}, {"model": MODEL, "confirm": True}])
async def test_a_yes_is_for_one_tool_and_its_arguments(simulator: Simulator, change: dict[str, Any]):
    async with with_user(simulator.url, User(YES), mode=MODERN) as client:
        state = await _asked(client)
        with pytest.raises(MCPError) as refused:
            await one_round(client, DELETE, change, answer=YES, state=state)
    assert refused.value.error.code == -32602
    assert not _deleted(simulator)


async def test_a_state_that_was_tampered_with_is_refused(simulator: Simulator):
    async with with_user(simulator.url, User(YES), mode=MODERN) as client:
        state = await _asked(client)
        for wrong in (state[:-2] + "AA", "v1.AAAA", "x", ""):
            with pytest.raises(MCPError) as refused:
                await one_round(client, DELETE, {"model": MODEL}, answer=YES, state=wrong)
            assert refused.value.error.code == -32602
    assert not _deleted(simulator)


async def test_an_answer_without_a_question_only_asks(simulator: Simulator):
    async with with_user(simulator.url, User(YES), mode=MODERN) as client:
        assert isinstance(await one_round(client, DELETE, {"model": MODEL}, answer=YES), InputRequiredResult)
        state = await _asked(client)
        assert isinstance(await one_round(client, DELETE, {"model": MODEL}, state=state), InputRequiredResult)
    assert not _deleted(simulator)


async def test_no_is_final_for_the_question_that_was_asked(simulator: Simulator):
    async with with_user(simulator.url, User(YES), mode=MODERN) as client:
        state = await _asked(client)
        said = await one_round(client, DELETE, {"model": MODEL}, answer=NO, state=state)
        assert isinstance(said, CallToolResult)
        error(said, "declined")
        later = await one_round(client, DELETE, {"model": MODEL}, answer=YES, state=state)
    assert isinstance(later, InputRequiredResult)
    assert not _deleted(simulator)


async def test_a_question_that_is_too_old_is_asked_again(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(elicitation, "VALID_SECONDS", 0.0)
    async with with_user(simulator.url, User(YES), mode=MODERN) as client:
        state = await _asked(client)
        again = await one_round(client, DELETE, {"model": MODEL}, answer=YES, state=state)
    assert isinstance(again, InputRequiredResult)
    assert not _deleted(simulator)


async def test_open_questions_are_bounded(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(elicitation, "_MAX_PENDING", 2)
    async with with_user(simulator.url, User(YES), mode=MODERN) as client:
        states = [await _asked(client) for _ in range(3)]
        first = await one_round(client, DELETE, {"model": MODEL}, answer=YES, state=states[0])
        last = await one_round(client, DELETE, {"model": MODEL}, answer=YES, state=states[2])
    assert isinstance(first, InputRequiredResult)
    assert isinstance(last, CallToolResult) and not last.is_error
