"""Forms over real streamable HTTP: the question reaches the user and the answer comes back, in both eras."""

from typing import Any

import pytest
from mcp import Client
from mcp.types import ElicitResult

from ollama_mcp.simulator import Simulator
from tests.confirmation.user import NO, YES, User
from tests.support import error, served, texts

MODEL = "llama3.2:3b"
DELETE: dict[str, Any] = {"model": MODEL}


def _deleted(simulator: Simulator) -> bool:
    return any(seen.path == "/api/delete" for seen in simulator.requests)


@pytest.mark.parametrize(("mode", "stateless"), [("legacy", False), ("2026-07-28", False), ("2026-07-28", True)])
@pytest.mark.parametrize("answer", [YES, NO])
async def test_what_the_user_answers_over_http_is_what_happens(
    simulator: Simulator, mode: str, stateless: bool, answer: ElicitResult
):
    user = User(answer)
    async with (
        served(simulator.url, stateless=stateless) as url,
        Client(url, mode=mode, elicitation_callback=user) as client,
    ):
        result = await client.call_tool("ollama_delete_model", DELETE)
    assert len(user.forms) == 1 and MODEL in user.questions[0]
    assert _deleted(simulator) is (answer is YES)
    if answer is YES:
        assert not result.is_error, texts(result)
    else:
        error(result, "declined")


async def test_a_handshake_without_a_session_has_nobody_to_ask(simulator: Simulator):
    user = User(YES)
    async with (
        served(simulator.url, stateless=True) as url,
        Client(url, mode="legacy", elicitation_callback=user) as client,
    ):
        error(await client.call_tool("ollama_delete_model", DELETE), "needs_confirmation")
    assert not user.forms and not _deleted(simulator)
