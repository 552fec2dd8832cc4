"""Forms over real streamable HTTP: the question reaches the user and the answer comes back, in both eras."""

from typing import Any

import pytest
from mcp import Client
from mcp.types import ElicitResult

from ollama_mcp.server import elicitation
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


@pytest.mark.parametrize(("mode", "forms"), [("legacy", [1, 1]), ("2026-07-28", [3, 2])])
async def test_a_host_that_refuses_by_itself_is_known_by_its_session(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, mode: str, forms: list[int]
):
    monkeypatch.setattr(elicitation, "HOST_SECONDS", 60.0)
    users = [User(NO, NO, YES), User(NO)]
    async with served(simulator.url) as url:
        for user, name in zip(users, ("gemma3:4b", MODEL), strict=True):
            async with Client(url, mode=mode, elicitation_callback=user) as client:
                error(await client.call_tool("ollama_delete_model", {"model": name}), "needs_confirmation")
                result = await client.call_tool("ollama_delete_model", {"model": name, "confirm": True})
                assert not result.is_error, texts(result)
                if user is users[0]:
                    copy = {"source": "nomic-embed-text", "destination": MODEL}
                    result = await client.call_tool("ollama_copy_model", copy)
                    assert result.is_error is (mode == "legacy")
    # Without sessions each call is asked anew, since nothing tells this host from another.
    assert [len(user.forms) for user in users] == forms


async def test_a_handshake_without_a_session_has_nobody_to_ask(simulator: Simulator):
    user = User(YES)
    async with (
        served(simulator.url, stateless=True) as url,
        Client(url, mode="legacy", elicitation_callback=user) as client,
    ):
        error(await client.call_tool("ollama_delete_model", DELETE), "needs_confirmation")
    assert not user.forms and not _deleted(simulator)
